"""Recipes are read from TOML files, and a file that is wrong is refused in one line."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import repro.recipes
from repro.data import DATASETS
from repro.errors import UserError
from repro.recipes import RECIPES, Source, SourceKind, default_recipe, read_recipes
from repro.recipes.alternatives import alternatives_of
from repro.recipes.reading import survey_recipes
from repro.recipes.schema import schema
from repro.recipes.values import unused, values_of

SHIPPED = Path(repro.recipes.__file__).parent
BASE = """
[recipes.base]
summary = "A recipe."
paper = "A paper"
dataset = "digits"
default_for = ["resnet20"]
epochs = { value = 4, source = "printed", place = "section 3" }
batch = { value = 64, source = "code", place = "train.py", note = "the default" }
lr = { value = 1, source = "printed", covers = "at first", also = [
  { source = "inferred", covers = "later" },
] }
schedule = { value = "steps", source = "printed" }
milestones = { value = [1, 3], of = 4, source = "printed" }
nesterov = { value = true, source = "printed" }
weight_decay = { value = 0.0, source = "inferred" }
init = { value = "conv-fan-out", source = "inferred" }
"""


SOURCE = "it must be printed, code or inferred"
SCHEDULE = "at `$.schedule.value`; it must be cosine, steps, exponential or plateau"
KEYS = "a value has the keys value, source, place, covers, note, also and alternatives"
WRITE = 'at `$.epochs`; write epochs = { value = ..., source = "printed" }, or "code" or "inferred"'
DECAY = "weight_decay: the alternative"
ONLY = "only an inferred value has alternatives, and this one is"
FAN = "Invalid enum value 'fan' - at `$.init.alternatives[0]`; it must be conv-fan-out, "
MOMENTUM = '{ value = 0.9, source = "inferred", alternatives = [0.5, 0] }'
NO_OPTION = "no network that default_for names has the option"
LOWEST = "reported=lowest-validation needs validation_images"


def files(path: Path, *texts: str) -> list[Path]:
    """Write files of recipes into a folder."""
    made = [path / f"paper{number}.toml" for number in range(len(texts))]
    for file, text in zip(made, texts, strict=True):
        file.write_text(text)
    return made


def reason(path: Path, *texts: str) -> str:
    """Return why files are refused, without the name of their folder."""
    with pytest.raises(UserError) as refused:
        read_recipes(files(path, *texts))
    assert "\n" not in str(refused.value)
    return str(refused.value).removeprefix(f"{path}/")


def test_a_recipe_has_the_values_and_sources_of_its_file(tmp_path: Path) -> None:
    base = read_recipes(files(tmp_path, BASE))["base"]
    assert (base.name, base.epochs, base.lr, base.milestones) == ("base", 4, 1.0, (0.25, 0.75))
    assert type(base.lr) is float
    assert base.sources["batch"] == (Source(kind=SourceKind.CODE, place="train.py", note="the default"),)
    assert [each.kind for each in base.sources["lr"]] == [SourceKind.PRINTED, SourceKind.INFERRED]


def test_sources_are_shown_with_what_they_cover_their_note_and_their_place(tmp_path: Path) -> None:
    values = {each.name: each for each in values_of(read_recipes(files(tmp_path, BASE))["base"])}
    assert (values["epochs"].kind, values["epochs"].detail) == (SourceKind.PRINTED, "section 3")
    assert values["batch"].sources[0].text == "authors' code: the default (train.py)"
    assert values["lr"].detail == "at first; inferred: later"
    assert [name for name, each in values.items() if each.inferred] == ["lr", "weight_decay", "init"]
    assert (values["dataset"].kind, values["dataset"].detail, values["dataset"].inferred) == (None, "", False)


def test_a_value_is_written_for_programs_as_in_a_file(tmp_path: Path) -> None:
    values = {each.name: each.to_json() for each in values_of(read_recipes(files(tmp_path, BASE))["base"])}
    written = tomllib.loads(BASE)["recipes"]["base"]
    assert {name: values[name] for name in ("epochs", "batch", "lr")} == {
        name: written[name] for name in ("epochs", "batch", "lr")
    }
    assert values["dataset"] == {"value": "digits"}


def test_numbers_may_be_multiples_of_one(tmp_path: Path) -> None:
    text = BASE.replace("value = [1, 3], of = 4", "every = 2, of = 6")
    assert read_recipes(files(tmp_path, text))["base"].milestones == (2 / 6, 4 / 6)


def test_a_variant_inherits_the_values_that_it_does_not_give(tmp_path: Path) -> None:
    """The extended recipe may be in another file; `default_for` is not inherited."""
    variant = '[recipes.variant]\nextends = "base"\nsummary = "A variant."\nlr = {value = 0.5, source = "inferred"}\n'
    recipes = read_recipes(files(tmp_path, variant, BASE))
    base, own = recipes["base"], recipes["variant"]
    assert own.differences(base) == ["lr=0.5 (1)"]
    assert (own.paper, own.sources["epochs"], own.summary) == ("A paper", base.sources["epochs"], "A variant.")
    assert own.sources["lr"] == (Source(kind=SourceKind.INFERRED),)
    assert (base.default_for, own.default_for) == (("resnet20",), ())


def test_a_variant_may_give_one_source_for_all_inherited_values(tmp_path: Path) -> None:
    variant = (
        '[recipes.variant]\nextends = "base"\ninherited = {source = "inferred", note = "as base"}\n'
        'lr = {value = 0.5, source = "printed"}\n'
    )
    sources = read_recipes(files(tmp_path, variant, BASE))["variant"].sources
    assert sources["lr"][0].kind is SourceKind.PRINTED
    assert {each for name, (each,) in sources.items() if name != "lr"} == {
        Source(kind=SourceKind.INFERRED, note="as base")
    }


def alternatives(path: Path, text: str) -> dict[str, list[str]]:
    """Return the overrides that the recipe `variant` lists as alternatives, by the name of the value."""
    found = dict[str, list[str]]()
    for each in alternatives_of(read_recipes(files(path, text))["variant"]):
        found.setdefault(each.name, []).append(each.override)
    return found


def test_alternatives_are_inherited_with_their_values(tmp_path: Path) -> None:
    listed = BASE.replace("value = 0.0", "value = 0.0, alternatives = [1e-4, 5e-4]").replace(
        'of = 4, source = "printed"', 'of = 4, source = "inferred", alternatives = [[2, 3]]'
    )
    variant = '[recipes.variant]\nextends = "base"\n'
    milestones, decay = ["milestones=0.5,0.75"], ["weight_decay=0.0001", "weight_decay=0.0005"]
    assert alternatives(tmp_path, listed + variant) == {"milestones": milestones, "weight_decay": decay}
    given = variant + 'weight_decay = { value = 1e-4, source = "printed" }\n'
    assert alternatives(tmp_path, listed + given) == {"milestones": milestones}
    inferred = variant + 'inherited = { source = "inferred", note = "as base" }\n'
    assert alternatives(tmp_path, listed + inferred) == {"milestones": milestones, "weight_decay": decay}
    assert alternatives(tmp_path, listed + inferred.replace("inferred", "printed")) == {}


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ('schedule = { value = "cosine", source = "printed" }', ["nesterov"]),
        ('momentum = { value = 0, source = "printed" }', ["milestones"]),
    ],
)
def test_inherited_alternatives_that_do_not_suit_a_variant_are_left_out(
    tmp_path: Path, given: str, left: list[str]
) -> None:
    listed = BASE.replace('true, source = "printed"', 'false, source = "inferred", alternatives = [true]').replace(
        'of = 4, source = "printed"', 'of = 4, source = "inferred", alternatives = [[2, 3]]'
    )
    variant = f'[recipes.variant]\nextends = "base"\n{given}\n'
    assert [*alternatives(tmp_path, listed + variant)] == left


def test_the_alternatives_of_an_abstract_base_must_suit_a_recipe(tmp_path: Path) -> None:
    half = '[recipes.half]\nabstract = true\nextends = "base"\n'
    milestones = 'milestones = { value = [1], of = 4, source = "inferred", alternatives = [[2]] }\n'
    variant = '[recipes.variant]\nextends = "half"\nschedule = { value = "cosine", source = "printed" }\n'
    line = "recipe variant: milestones: the alternative 0.5 has no effect without schedule ="
    assert line in reason(tmp_path, BASE + half + milestones + variant)


def test_alternatives_are_no_part_of_the_values(tmp_path: Path) -> None:
    listed = BASE.replace("value = 0.0", "value = 0.0, alternatives = [1e-4]")
    one, other = (read_recipes(files(tmp_path, text))["base"] for text in (BASE, listed))
    assert (one, one.values()) == (other, other.values())
    shown = {each.name: each for each in values_of(other)}["weight_decay"]
    assert (shown.alternatives_text, shown.to_json()["alternatives"]) == ("0.0001", [1e-4])


@pytest.mark.parametrize("name", RECIPES)
def test_every_alternative_that_is_shipped_has_a_reason(name: str) -> None:
    for value in RECIPES[name].alternatives:
        assert any(each.note for each in RECIPES[name].sources[value] if each.kind is SourceKind.INFERRED)


def test_an_abstract_recipe_is_only_extended(tmp_path: Path) -> None:
    abstract = '[recipes.half]\nabstract = true\nextends = "base"\nbatch = {value = 32, source = "printed"}\n'
    whole = '[recipes.whole]\nextends = "half"\n'
    recipes = read_recipes(files(tmp_path, BASE, abstract + whole))
    assert set(recipes) == {"base", "whole"}
    assert recipes["whole"].batch == 32


@pytest.mark.parametrize(
    ("changed", "into", "why"),
    [
        ('"printed", place = "section 3"', '"read"', f"Invalid enum value 'read' - at `$.epochs.source`; {SOURCE}"),
        (
            ', source = "printed", place = "section 3"',
            "",
            "Object missing required field `source` - at `$.epochs`; a source is printed, code or inferred",
        ),
        ('{ value = 4, source = "printed", place = "section 3" }', "4", f"Expected `object`, got `int` - {WRITE}"),
        ("value = 0.0", "value = 0.0, alternatives = [0.0]", f"{DECAY} 0 is the value itself; leave it out"),
        ("value = 0.0", "value = 0.0, alternatives = [1, 1.0]", "weight_decay: an alternative is given twice"),
        ("value = 0.0", "value = 0.0, alternatives = [-1]", "Expected `float` >= 0.0 - at `$.weight_decay.altern"),
        ("value = 0.0", 'value = 0.0, alternatives = ["1"]', "Expected `float`, got `str` - at `$.weight_decay.altern"),
        ('"conv-fan-out"', '"conv-fan-out", alternatives = ["fan"]', FAN),
        ("value = 4", "value = 4, alternatives = [5]", f"epochs: {ONLY} printed"),
        ("value = 64", "value = 64, alternatives = [32]", f"batch: {ONLY} authors' code"),
        (
            "weight_decay =",
            f"momentum = {MOMENTUM}\nweight_decay =",
            "momentum: the alternative 0 is invalid: nest",
        ),
        ("of = 4", "of = 4, alternatives = [[5]]", "Expected numbers from 0 to `of` - at `$.milestones`"),
        ("value = 4", 'value = "4"', "Expected `int`, got `str` - at `$.epochs.value`"),
        ("value = 4", "value = 4.5", "Expected `int`, got `float` - at `$.epochs.value`"),
        ('value = "steps"', 'value = "stairs"', f"Invalid enum value 'stairs' - {SCHEDULE}"),
        ("value = [1, 3], of", "every = 1, value = [1], of", "Expected either `value` or `every` - at `$.milestones`"),
        ("value = [1, 3], of", "of", "Expected either `value` or `every` - at `$.milestones`"),
        ("of = 4", "of = 0", "Expected `float` > 0.0 - at `$.milestones.of`"),
        ('note = "the default"', 'page = "3"', f"Object contains unknown field `page` - at `$.batch`; {KEYS}"),
        ("value = 4", "value = 0", "Expected `int` >= 1 - at `$.epochs.value`"),
        ("[1, 3], of = 4", "[1, 5], of = 4", "Expected numbers from 0 to `of` - at `$.milestones`"),
        ("weight_decay =", 'reported = {value = "lowest-validation", source = "printed"}\nweight_decay =', LOWEST),
        ("nesterov", "nesterow", "Object contains unknown field `nesterow`; did you mean nesterov?"),
        ("weight_decay =", "qqq = 3\nweight_decay =", "Object contains unknown field `qqq`; known: "),
        ('["resnet20"]', '["resnet21"]', "default_for: unknown model 'resnet21'; did you mean resnet"),
        ("epochs =", "default_with = { M = 2 }\nepochs =", f"default_with: {NO_OPTION} 'M'; known: shortcut"),
        ("epochs =", "default_with = { padded = true }\nepochs =", f"default_with: {NO_OPTION} 'padded'; known: s"),
        ("epochs =", "default_with = { shortcut = 2 }\nepochs =", "default_with: resnet20: option shortcut must be"),
        ("epochs = {", "# {", "no epochs is given"),
        ("summary =", "# =", "no summary is given"),
        ('summary = "A recipe."', 'extends = "bases"', "extends: unknown recipe 'bases'; did you mean base?"),
        ('summary = "A recipe."', 'extends = "BASE"', "extends: unknown recipe 'BASE'; did you mean base?"),
        ('summary = "A recipe."', 'extends = "base"', "extends itself: base -> base"),
    ],
)
def test_a_wrong_recipe_is_refused_with_its_file_its_name_and_the_reason(
    tmp_path: Path, changed: str, into: str, why: str
) -> None:
    assert changed in BASE
    assert reason(tmp_path, BASE.replace(changed, into, 1)).startswith(f"paper0.toml: recipe base: {why}")


def test_every_wrong_key_of_a_recipe_is_a_mistake_of_its_own(tmp_path: Path) -> None:
    text = BASE.replace('"conv-fan-out"', '"msra"').replace('"steps"', '"multistep"') + "rotation = 15\n"
    found = [str(each) for each in survey_recipes(files(tmp_path, text)).mistakes]
    assert [each.partition("recipe base: ")[2].partition(" - ")[0].partition(";")[0] for each in found] == [
        "Invalid enum value 'multistep'",
        "Invalid enum value 'msra'",
        "Object contains unknown field `rotation`",
    ]
    assert reason(tmp_path, text).endswith(
        "it must be cosine, steps, exponential or plateau (and 2 more: repro validate)"
    )


def test_epochs_as_milestones_need_the_number_of_epochs(tmp_path: Path) -> None:
    said = reason(tmp_path, BASE.replace("[1, 3], of = 4", "[60, 120]"))
    right = "without `of` they are fractions of the run; add of = 200 if they are epochs of 200"
    assert said == f"paper0.toml: recipe base: Expected numbers from 0 to `of` - at `$.milestones`; {right}"


def test_recipes_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    circle = [f'[recipes.{name}]\nextends = "{other}"\n' for name, other in (("a", "b"), ("b", "c"), ("c", "b"))]
    why = "extends itself: a -> b -> c -> b (and 2 more: repro validate)"
    assert reason(tmp_path, *circle) == f"paper0.toml: recipe a: {why}"


def test_an_abstract_recipe_is_checked_even_if_no_other_extends_it(tmp_path: Path) -> None:
    alone = '[recipes.alone]\nabstract = true\nextends = "nothing"\n'
    assert "recipe alone: extends: unknown recipe 'nothing'" in reason(tmp_path, BASE, alone)


def test_two_recipes_of_one_name_are_refused(tmp_path: Path) -> None:
    said = f"paper1.toml: recipe base: {tmp_path}/paper0.toml already has a recipe of that name"
    assert reason(tmp_path, BASE, BASE) == said


def test_two_defaults_for_the_same_model_and_data_set_are_refused(tmp_path: Path) -> None:
    twin = '[recipes.twin]\nextends = "base"\ndefault_for = ["resnet20"]\n'
    said = "paper1.toml: recipe twin: base is already the default for resnet20 on digits; leave out default_for here"
    assert reason(tmp_path, BASE, twin) == said
    others = read_recipes(files(tmp_path, BASE, twin + 'default_with = { shortcut = "b" }\n'))
    assert others["twin"].is_default("resnet20", "digits", {"shortcut": "B"})
    assert not others["twin"].is_default("resnet20", "digits", {"shortcut": "A"})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[recipes.base]\nlr = { value = inf }", "paper0.toml: inf is not a finite number; write another"),
        ("recipes = [", "paper0.toml: not a TOML file: Invalid value (at end of document)"),
        (
            "recipe = 1",
            "paper0.toml: Object contains unknown field `recipe`; a file of recipes has only tables [recipes.NAME]",
        ),
        (
            "[recipes]\nbase = 1",
            "paper0.toml: recipe base: Expected `object`, got `int`; write [recipes.NAME] above its keys",
        ),
    ],
)
def test_a_file_that_holds_no_recipes_is_refused(tmp_path: Path, text: str, why: str) -> None:
    assert reason(tmp_path, text) == why


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "paper.toml").mkdir()
    with pytest.raises(UserError, match=r"paper\.toml: is a folder; put a TOML file in its place"):
        read_recipes([tmp_path / "paper.toml"])


def test_names_that_differ_only_in_spelling_are_one_name(tmp_path: Path) -> None:
    assert "already has a recipe of that name" in reason(tmp_path, BASE, BASE.replace("recipes.base", "recipes.Ba_se"))


def test_the_schema_is_that_of_the_reader_and_every_file_names_it() -> None:
    assert (SHIPPED / "schema.json").read_text() == schema()
    for file in SHIPPED.rglob("*.toml"):
        first, path = file.read_text().splitlines()[0].split(" ")
        assert first == "#:schema"
        assert (file.parent / path).resolve() == SHIPPED / "schema.json"


def test_help_reads_no_recipes() -> None:
    code = (
        "import sys\n"
        "from repro.cli.app import main\n"
        "from repro.recipes import library\n"
        "library.survey_recipes = library.find_papers = None\n"
        "sys.argv = ['repro', '--help']\n"
        "main()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_recipes_are_for_data_sets_that_are_known() -> None:
    assert {each.dataset for each in RECIPES.values()} <= DATASETS.keys()


@pytest.mark.parametrize(
    ("model", "dataset", "options", "name"),
    [
        ("resnet56", "cifar10", {}, "resnet-cifar10"),
        ("resnet1202", "cifar10", {}, "resnet-cifar10-warmup"),
        ("resnet110", "cifar100", {}, "miru2020-cifar100"),
        ("densenet-bc", "cifar100", {"k": 12}, "densenet-cifar100+"),
        ("wrn", "svhn", {}, "wrn-svhn"),
        ("densemobilenetv2", "imagenet", {}, "miru2020-imagenet-mobilenetv2"),
        ("unet", "isbi2012", {"padded": False}, "unet-isbi"),
        ("unet", "isbi2012", {"padded": True, "base": 64}, "unet-isbi-padded"),
        ("unet", "segmentation", {"padded": True}, "unet-segmentation"),
        ("densenet264", "digits", {}, "digits"),
        ("resnet20", "svhn", {}, None),
    ],
)
def test_a_model_has_its_papers_recipe_by_default(
    model: str, dataset: str, options: dict[str, int | bool], name: str | None
) -> None:
    assert default_recipe(model, dataset, options) == name


def test_values_that_a_recipe_leaves_at_their_defaults_are_named_as_unused() -> None:
    chosen = RECIPES["miru2020-cifar100"]
    assert {"iterations", "tile", "gamma"} <= set(unused(chosen))
    assert not {each.name for each in values_of(chosen)} & set(unused(chosen))
