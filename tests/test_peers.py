"""The comparison with the loops of public repositories."""

import io

import peers
import pytest


def test_loops_take_turns_and_the_first_steps_of_a_window_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 11.0, 12.0, 50.0, 60.0, 61.0, 64.0])
    monkeypatch.setattr(peers.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr("sys.stdin", io.StringIO("\n\n\n"))
    rates: list[float] = []
    assert list(peers.in_turns(iter(range(8)), 8, 2.0, rates.append)) == list(range(8))
    assert rates == [2 * 8 / 2.0, 2 * 8 / 4.0]


def test_a_script_of_another_commit_is_refused(tmp_path: peers.Path) -> None:
    peer = peers.PEERS[0]
    script = tmp_path / peer.repository.split("/")[1] / peer.script
    script.parent.mkdir()
    script.write_text("")
    with pytest.raises(SystemExit, match=peer.commit):
        peers.run_peer(peer, tmp_path, lambda steps, size: steps)
