"""The commands evaluate, calibrate and probe-identity, from options to files.

Each command checks everything that can be checked, then scores (resumable, on all processes), then
computes and writes the results on the first process.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from matplotlib.figure import Figure

from ..checkpoint.loading import LoadedModel
from ..core.atomic_files import make_folder_atomically, write_atomically
from ..core.errors import ModelError
from ..dataset.schema import FrameDataError
from ..report.verdicts import Thresholds
from ..runtime.backends import open_network
from .calibration import calibrate_table, store_calibration
from .data import EvaluationData, choose_videos, open_evaluation_data
from .faces import FaceFinder
from .false_alarms import measure_false_alarms
from .figures import Bootstrap, check_both_classes, cross_dataset_table, evaluate_table
from .measure_heatmaps import measure_heatmaps
from .measure_identity import probe_features
from .models import MeasuredModels, open_model, scaling_of, thresholds_of
from .options import CalibrateOptions, CommonOptions, EvaluateOptions, ProbeOptions, SamplingOptions
from .output import (
    describe_data,
    describe_model,
    envelope,
    shown,
    update_model_card,
    warn,
    write_report,
)
from .plots import (
    calibration_plot,
    evaluation_plot,
    false_alarms_plot,
    localisation_plot,
    probe_plot,
    robustness_plot,
)
from .robustness import VARIANTS, measure_robustness
from .score_table import complete_table, gather_videos
from .scoring import CLEAN_ONLY, FrameScorer, find_faces, make_accelerator, score_frames
from .sections import (
    calibration_section,
    evaluation_section,
    false_alarms_section,
    localisation_section,
    probe_section,
    robustness_section,
)

AGGREGATION = "a video's score is the mean of its frames' fake probabilities"
SCORES_FILE = "scores.parquet"
# Kind of report -> its section, and its plot if that needs only the report.
SECTIONS = {
    "evaluation": evaluation_section,
    "robustness": robustness_section,
    "calibration": calibration_section,
    "identity-probe": probe_section,
    "localisation": localisation_section,
    "false-alarms": false_alarms_section,
}
PLOTS = {
    "identity-probe": probe_plot,
    "localisation": localisation_plot,
    "false-alarms": false_alarms_plot,
}


class _Scoring:
    """The data of a run, on all processes, and the scores of models on it."""

    def __init__(self, names: list[str], options: SamplingOptions):
        self.options = options
        self.data = [self._open(name) for name in names]
        repeated = [name for name, n in Counter(d.name for d in self.data).items() if n > 1]
        if repeated:
            raise FrameDataError(f"Two collections are called '{repeated[0]}': rename one.")
        self.accelerator: Accelerator = make_accelerator(options.device)
        self._keys: dict[str, tuple[str, list]] = {}
        self._faces: dict[str, dict] = {}
        self._backends: set[str] = set()

    def _open(self, name: str) -> EvaluationData:
        options = self.options
        data = open_evaluation_data(name, options.frames, options.split)
        check_both_classes(np.array([facts.label for facts in data.facts]), f"Data '{data.name}'")
        if options.max_videos is not None:
            if options.max_videos < 2:
                raise FrameDataError("--max-videos must be at least 2, one of each class.")
            choose_videos(data, options.max_videos, np.random.default_rng(options.seed))
        return data

    @property
    def is_main(self) -> bool:
        """Whether this process writes the report."""
        return self.accelerator.is_main_process

    def key(self, data: EvaluationData) -> tuple[str, list]:
        """Return the data's fingerprint, and the values that determine the frames used."""
        if data.name not in self._keys:
            found = [data.fingerprint() if self.is_main else None]
            broadcast_object_list(found)
            options = self.options
            chosen = [options.frames, options.max_videos]
            if options.max_videos is not None:
                chosen.append(options.seed)
            self._keys[data.name] = (found[0], [data.kind, data.split, found[0], *chosen])
        return self._keys[data.name]

    def table(
        self, data: EvaluationData, loaded: LoadedModel, name: str, variants=CLEAN_ONLY
    ) -> pa.Table:
        """Return the scores of a model, as from `complete_table`."""
        options, folder = self.options, self.options.output / "intermediate"
        _, key = self.key(data)
        device = self.accelerator.device
        if data.name not in self._faces:
            finder = FaceFinder(device)
            self._faces[data.name] = find_faces(
                data, options.frames, finder, self.accelerator, folder, key
            )
        network = open_network(loaded, device, options.backend)
        self._backends.add(network.backend)
        scorer = FrameScorer(loaded, network, options.batch_size)
        scored = score_frames(
            data,
            options.frames,
            self._faces[data.name],
            scorer,
            self.accelerator,
            folder,
            key,
            variants,
            options.seed if variants != CLEAN_ONLY else 0,
        )
        if scored["logit_difference"].null_count == len(scored):
            reason = Counter(scored["failure"].to_pylist()).most_common(1)[0][0]
            raise FrameDataError(f"No frame of '{data.name}' could be scored: {reason}.")
        return complete_table(scored, name, data.name, scaling_of(loaded))

    def protocol(self) -> dict:
        """Return the settings of the measurement, for the report."""
        options = self.options
        return {
            "frames": options.frames,
            "aggregation": AGGREGATION,
            "max_videos": options.max_videos,
            "seed": options.seed,
            "bootstrap_samples": options.bootstrap_samples,
            "bootstrap_unit": "videos; those of one source are drawn together",
            "processes": self.accelerator.num_processes,
            "device": self.accelerator.device.type,
            "backends": sorted(self._backends),
        }


def _evaluate(options: EvaluateOptions) -> None:
    if options.localisation or options.false_alarms:
        _measure_pictures(options)
        return
    models = MeasuredModels(options.model or [None], options.revision)
    judge = not (options.ranking_only or options.robustness)
    thresholds = [
        thresholds_of(name, loaded, options.false_positive_rate) if judge else None
        for name, loaded in zip(models.names, models.loaded, strict=True)
    ]
    scoring = _Scoring(options.data, options)
    variants = VARIANTS if options.robustness else CLEAN_ONLY
    bootstrap = Bootstrap(options.bootstrap_samples, options.seed)
    tables, results, videos = [], [], []
    for number, name in enumerate(models.names):
        for data in scoring.data:
            table = scoring.table(data, models.loaded[number], name, variants)
            if not scoring.is_main:
                continue
            tables.append(table)
            if options.robustness:
                found = measure_robustness(table, bootstrap)
            else:
                found = evaluate_table(table, thresholds[number], bootstrap)
                videos.append(gather_videos(table))
            results.append({"model": name, "collection": data.name, **found})
    if not scoring.is_main:
        return
    content = {
        "protocol": scoring.protocol(),
        "models": [describe_model(n, m) for n, m in zip(models.names, models.loaded, strict=True)],
        "collections": [describe_data(data, scoring.key(data)[0]) for data in scoring.data],
        "results": results,
    }
    options.output.mkdir(parents=True, exist_ok=True)
    if options.robustness:
        report = envelope("robustness", content)
        plot, scores_file = robustness_plot(report), f"robustness-{SCORES_FILE}"
        for result in results:
            print(
                f"{result['model']} on {result['collection']}: clean {shown(result['clean'])}, "
                f"mean of the distorted {result['mean_video_auc']:.3f}"
            )
    else:
        content["cross_dataset_table"] = cross_dataset_table(results)
        report = envelope("evaluation", content)
        plot, scores_file = evaluation_plot(report, videos), SCORES_FILE
        for result in results:
            overall = result["overall"]
            print(
                f"{result['model']} on {result['collection']}: video AUC "
                f"{shown(overall['ranking']['video_auc'])}, "
                f"{overall['counts']['failed']} of {overall['counts']['videos']} videos failed"
            )
    with write_atomically(options.output / scores_file) as file:
        pq.write_table(pa.concat_tables(tables), file)
    _finish(options, report, plot, models)


def _finish(options: CommonOptions, report: dict, plot: Figure, models: MeasuredModels) -> None:
    """Write the report, and each model's part of the report into the model's card."""
    section = SECTIONS[report["kind"]]
    paths = write_report(options.output, report, section(report), plot)
    print("\n".join(str(path) for path in paths))
    if not options.update_card:
        return
    for name, folder in zip(models.names, models.folders, strict=True):
        if folder is None:
            warn(f"model '{name}' is no folder, so its card was not changed.")
            continue
        own = dict(report)
        if "models" in own and len(models.names) > 1:
            own["models"] = [model for model in own["models"] if model["name"] == name]
            own["results"] = [result for result in own["results"] if result["model"] == name]
            if "cross_dataset_table" in own:
                own["cross_dataset_table"] = cross_dataset_table(own["results"])
        print(update_model_card(folder, paths, section(own)))


def _calibrate(options: CalibrateOptions) -> None:
    models = MeasuredModels([options.model], options.revision)
    loaded, name = models.loaded[0], models.names[0]
    target = options.save_to or models.folders[0]
    if target is None and not options.dry_run:
        raise ModelError(
            f"Model '{name}' is no folder: say with --save-to where the calibrated model goes, or "
            "give --dry-run."
        )
    if options.save_to is not None and options.save_to.exists():
        raise ModelError(f"--save-to '{options.save_to}' exists already.")
    scoring = _Scoring([options.data], options)
    data = scoring.data[0]
    table = scoring.table(data, loaded, name)
    if not scoring.is_main:
        return
    config = loaded.model.config
    shipped = (scaling_of(loaded), Thresholds(config.real_below, config.fake_above))
    rates = options.false_positive_rate
    found = calibrate_table(
        table, rates, options.miss_rate, shipped, options.seed, options.prior, options.by_domain
    )
    described = describe_data(data, scoring.key(data)[0]) | {"frames": options.frames}
    report = envelope(
        "calibration",
        {
            "protocol": scoring.protocol(),
            "model": describe_model(name, loaded),
            "collection": described,
            "calibration": found.report,
            "stored": not options.dry_run,
        },
    )
    if not options.dry_run:
        _store(loaded, models.folders[0], options.save_to, found, described)
        models.folders[0] = target
    report_words = found.report["after"]["expected_calibration_error"]
    print(
        f"{name}: temperature {found.temperature:.4g}, bias {found.bias:.4g}, real below "
        f"{found.real_below:.4f}, fake above {found.fake_above:.4f}; calibration error "
        f"{found.report['before']['expected_calibration_error']:.4f} before, "
        f"{report_words:.4f} after"
    )
    _finish(options, report, calibration_plot(report), models)


def _store(
    loaded: LoadedModel, folder: Path | None, save_to: Path | None, found, described: dict
) -> None:
    """Store a calibration in the model's folder, or in a copy that is written atomically."""
    keys = ("name", "split", "fingerprint", "genuine_videos", "fake_videos", "frames")
    record = {
        "collection": {key: described[key] for key in keys},
        "stated_rates": found.report["stated_rates"],
        "prior": found.report["prior"],
    }
    if save_to is None:
        store_calibration(folder, found, record)
        return
    with make_folder_atomically(save_to) as partial:
        if folder is not None:
            shutil.copytree(folder, partial, dirs_exist_ok=True)
        else:
            loaded.model.save_pretrained(partial)
            loaded.image_processor.save_pretrained(partial)
        store_calibration(partial, found, record)


def _probe(options: ProbeOptions) -> None:
    _one_process()
    models = MeasuredModels([options.model], options.revision)
    plain = None
    if options.plain_model is not None:
        plain, _ = open_model(options.plain_model, options.revision)
    report = probe_features(models.loaded[0], models.names[0], plain, options)
    _finish(options, report, PLOTS[report["kind"]](report), models)


def _measure_pictures(options: EvaluateOptions) -> None:
    _one_process()
    what = "--localisation" if options.localisation else "--false-alarms"
    names, data = options.model or [None], options.data
    if len(names) > 1 or len(data) > 1:
        raise FrameDataError(f"{what} takes one model and one collection.")
    if options.max_videos is not None or options.ranking_only:
        raise FrameDataError(f"{what} does not go with --max-videos or --ranking-only.")
    models = MeasuredModels(names, options.revision)
    loaded, name = models.loaded[0], models.names[0]
    if options.localisation:
        report = measure_heatmaps(loaded, name, options)
    else:
        report = measure_false_alarms(loaded, name, options)
        called_fake = report["verdicts"]["called_fake"]
        print(f"{name} on {data[0]}: {shown(called_fake, percent=True)} called fake")
    _finish(options, report, PLOTS[report["kind"]](report), models)


def _one_process() -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise FrameDataError("This measurement runs in one process: start it with python.")


COMMANDS: dict[str, Callable[..., None]] = {
    "evaluate": _evaluate,
    "calibrate": _calibrate,
    "probe-identity": _probe,
}
