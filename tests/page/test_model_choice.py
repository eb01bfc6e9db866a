"""caddm_hf.page.model_choice: which models may be chosen, and what their calibration allows."""

import pytest

from caddm_hf.detector.config import DetectionConfig
from caddm_hf.guard.limits import StartError
from caddm_hf.model.configuration_caddm import CaddmConfig
from caddm_hf.page.model_choice import ModelChoices
from caddm_hf.page.model_facts import ModelChoiceError, model_facts
from caddm_hf.page.runners import split_revision
from caddm_hf.report.verdicts import Thresholds
from support.made_runners import MadeRunner


def facts_with(calibration: object):
    config = CaddmConfig(real_below=0.3, fake_above=0.7, calibration=calibration)
    return model_facts("user/name", "abc", config)


def test_a_calibrated_model_offers_its_rates():
    facts = facts_with({"thresholds": {"0.05": 0.61, "0.01": 0.93}, "data": "x"})
    assert facts.sensitivities() == [
        ("As the model sets it: fake above 70%, real below 30%", ""),
        ("At most 1% of genuine videos called fake (score above 93%)", "0.01"),
        ("At most 5% of genuine videos called fake (score above 61%)", "0.05"),
    ]
    assert facts.thresholds_for("") is None
    assert facts.thresholds_for("0.01") == Thresholds(0.3, 0.93)
    with pytest.raises(ModelChoiceError, match=r"has no sensitivity '0.02'.*'0.01', '0.05'"):
        facts.thresholds_for("0.02")


def test_real_stays_below_fake():
    facts = facts_with({"thresholds": {"0.2": 0.1}})
    assert facts.thresholds_for("0.2") == Thresholds(0.1, 0.1)


def test_an_uncalibrated_model_offers_plain_choices():
    facts = facts_with(None)
    keys = [key for _, key in facts.sensitivities()]
    assert keys == ["", "above 0.9", "above 0.5"]
    assert facts.thresholds_for("above 0.9") == Thresholds(0.4, 0.9)
    with pytest.raises(ModelChoiceError):
        facts.thresholds_for("0.01")


@pytest.mark.parametrize(
    "calibration",
    [
        "text",
        {"thresholds": [0.5]},
        {"thresholds": {"often": 0.5, "0.01": "high", "2": 0.5, "0.1": 7, "0.2": None}},
    ],
)
def test_a_strangers_calibration_is_not_believed(calibration):
    assert facts_with(calibration).thresholds_by_rate == {}


def choices(opened: list, **options) -> ModelChoices:
    def open_runner(name: str) -> MadeRunner:
        opened.append((name, MadeRunner(None)))
        return opened[-1][1]

    return ModelChoices(MadeRunner(None), open_runner, DetectionConfig(), **options)


def test_only_listed_models_may_be_chosen_where_not_all_may():
    opened = []
    models = choices(opened, offered=["user/listed"])
    with models.runner("user/listed"), models.runner("") as own:
        assert own is models.own
    with pytest.raises(ModelChoiceError, match="its own model or one of user/listed"):
        models.facts("/etc")
    assert [name for name, _ in opened] == ["user/listed"]


def test_where_offered_folders_lie_is_not_told(tmp_path):
    folders = [tmp_path / "a" / "small", tmp_path / "b" / "small"]
    for folder in folders:
        folder.mkdir(parents=True)
    opened = []
    models = choices(opened, offered=[str(folder) for folder in folders])
    assert models.listed == ("small", "small (2)")
    with pytest.raises(StartError) as caught, models.runner("small (2)"):
        raise StartError(f"Model '{folders[1]}' cannot be loaded: no")
    assert str(caught.value) == "Model 'small' cannot be loaded: no"
    assert [name for name, _ in opened] == [str(folders[1])]
    with pytest.raises(ModelChoiceError) as caught, models.runner(str(folders[0])):
        pass
    assert str(caught.value).startswith("This page checks with its own model or one of small, ")


def test_where_the_pages_own_model_lies_is_not_told(tmp_path):
    models = choices([], own_name=str(tmp_path / "mine"))
    with pytest.raises(StartError, match=r"^Model 'mine' is gone$"), models.runner(""):
        raise StartError(f"Model '{tmp_path / 'mine'}' is gone")
    facts = model_facts(str(tmp_path / "mine"), None, CaddmConfig())
    assert facts.name == "mine"


def test_one_other_model_is_kept_and_none_in_use_is_closed():
    opened = []
    models = choices(opened, any_model=True)
    with models.runner("first"):
        with models.runner("second"):
            assert [runner.closed for _, runner in opened] == [False, False]
        with models.runner("third"):
            assert [runner.closed for _, runner in opened] == [False, True, False]
    with models.runner("third"):
        assert [runner.closed for _, runner in opened] == [True, True, False]
    assert len(opened) == 3
    models.close()
    assert models.own.closed
    assert opened[2][1].closed


def test_a_model_that_cannot_be_loaded_is_tried_anew():
    opened = []
    models = choices(opened, any_model=True)
    for _ in range(2):
        with pytest.raises(StartError), models.runner("broken"):
            raise StartError("no")
    assert [runner.closed for _, runner in opened] == [True, True]


def test_split_revision(tmp_path):
    assert split_revision("user/name@v1") == ("user/name", "v1")
    assert split_revision("user/name") == ("user/name", None)
    folder = tmp_path / "a@b"
    folder.mkdir()
    assert split_revision(str(folder)) == (str(folder), None)
