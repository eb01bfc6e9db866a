"""The README.md of a collection: its content, its origin, and what is missing."""

from collections.abc import Sequence

from .collection import make_manifest


def dataset_card(settings: dict, accounts: Sequence[dict], terms: str) -> str:
    """Return the card as Markdown with the metadata that the Hub and `datasets` read.

    Args:
        settings: settings of the plan.
        accounts: accounts of all videos.
        terms: a sentence that names the owner of the videos' terms.
    """
    manifest = make_manifest(settings, accounts)
    splits = [name for name, totals in manifest["by_split"].items() if totals["kept"]]
    # In order of use, not alphabetical.
    splits.sort(key=["train", "validation", "test"].index)
    lines = [
        "---",
        "license: other",
        "task_categories:",
        "- image-classification",
        "tags:",
        "- deepfake-detection",
        "configs:",
        "- config_name: default",
        "  data_files:",
    ]
    for split in splits:
        lines += [f"  - split: {split}", f"    path: data/{split}-*.parquet"]
    frames = manifest["frames"]
    twins = manifest["twins"]
    lines += [
        "---",
        "",
        f"# Face crops of {settings['dataset']}",
        "",
        terms,
        "",
        f"Made by CADDM-HF's `build_frame_dataset.py`: {settings['frames']} evenly spaced frames "
        "of each video; on each the face of one person, cut out unscaled with the margin that "
        f"training needs, as {settings['picture_format'].upper()}; five landmarks in pixels of the "
        "crop. A fake's row holds the same rectangle of the genuine frame it was made from "
        "(`source_image`), if that shows the same moment.",
        "",
        f"- Frames: {frames['kept']:,} of {frames['wanted']:,} wanted, from "
        f"{manifest['videos'] - manifest['videos_failed']:,} of {manifest['videos']:,} videos",
        f"- Frames left out: {_counts(manifest['dropped'])}",
        f"- Fake rows with a genuine twin: {twins['kept']:,}; without: {_counts(twins['dropped'])}",
        f"- Fingerprint: `{manifest['fingerprint']}`",
        "",
        *_table("Split", manifest["by_split"], splits),
        "",
        *_table("Method", manifest["by_method"], list(manifest["by_method"])),
        "",
        "`videos.jsonl` has a line for every video: frames wanted, kept and left out, with the "
        "reason. `manifest.json` has the totals and the options.",
        "",
    ]
    return "\n".join(lines)


def _table(title: str, totals: dict[str, dict], names: Sequence[str]) -> list[str]:
    rows = [
        f"| {name} | {totals[name]['videos']:,} | {totals[name]['videos_failed']:,} | "
        f"{totals[name]['kept']:,} |"
        for name in names
    ]
    return [f"| {title} | Videos | of them without a frame | Frames |", "|---|---|---|---|", *rows]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.items()) or "none"
