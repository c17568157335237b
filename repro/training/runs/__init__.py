"""Runs on disk, from their experiments to their records.

`train` leaves out the runs that are finished and groups the others (`grouping`, `memory`). `group_training` locks the
folders of a group, `resume` makes its engines from checkpoints, `loop` takes their steps, and `saver` writes their
checkpoints. `final_tests` and `record` end a run. `session` has what all runs of one call share.
"""
