"""The web page: `python app.py`, then open the address it prints.

Gives the page to whoever can reach it; by default that is this machine alone.
"""

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

EPILOG = (
    "Set CADDM_PAGE_LOGIN=name:password to ask visitors for it. GRADIO_SERVER_NAME and "
    "GRADIO_SERVER_PORT serve as --host and --port where those are not given."
)


def build_parser() -> argparse.ArgumentParser:
    """The options; kept apart from the page, whose imports take seconds."""
    parser = argparse.ArgumentParser(
        prog="python app.py", description="Serve the deepfake check as a web page.", epilog=EPILOG
    )
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port (default: the first free one from 7860)")
    parser.add_argument(
        "--model", metavar="ID", help="model folder or Hub id (default: the bundled model)"
    )
    parser.add_argument("--revision", help="branch, tag or commit of the model on the Hub")
    parser.add_argument(
        "--max-upload-mb",
        type=_positive,
        default=500,
        metavar="MB",
        help="largest file taken (default 500)",
    )
    parser.add_argument(
        "--share", action="store_true", help="also open a public address through Gradio's servers"
    )
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def login_from(text: str | None) -> tuple[str, str] | None:
    """`name:password` as a pair; None where none is wanted.

    Raises:
        ValueError: it is not of that form.
    """
    if not text:
        return None
    name, colon, password = text.partition(":")
    if not (name and colon and password):
        raise ValueError("CADDM_PAGE_LOGIN must be of the form name:password")
    return name, password


def serve(options: argparse.Namespace, login: tuple[str, str] | None, folder: Path) -> int:
    """Load the model and serve the page until interrupted; returns the exit status.

    Args:
        options: of `build_parser`.
        login: name and password visitors must give.
        folder: for everything written: uploads, examples.
    """
    # Gradio reads these when it is imported.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("GRADIO_TEMP_DIR", str(folder / "uploads"))

    from caddm_hf.default_model import default_detector
    from caddm_hf.example_media import make_examples
    from caddm_hf.media_files import MediaLimits
    from caddm_hf.model_loading import ModelError
    from caddm_hf.page_layout import build_page
    from caddm_hf.page_style import CSS, page_theme
    from caddm_hf.video_detection import DetectionConfig, VideoDetector

    max_bytes = options.max_upload_mb * 2**20
    config = DetectionConfig(limits=MediaLimits(max_file_bytes=max_bytes))
    try:
        if options.model is None:
            detector = default_detector(config)
        else:
            detector = VideoDetector.from_pretrained(
                options.model, config, revision=options.revision
            )
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    page = build_page(detector, make_examples(folder / "examples"))
    try:
        page.queue(max_size=20, default_concurrency_limit=1).launch(
            server_name=options.host,
            server_port=options.port,
            share=options.share,
            auth=login,
            max_file_size=max_bytes,
            theme=page_theme(),
            css=CSS,
            footer_links=["api", "settings"],
            # Neither results nor file names of an investigation stay in the browser.
            run_history=False,
            ssr_mode=False,
        )
    except OSError:
        print(
            "error: the page cannot be served there: the port is taken, or the address is not "
            "this machine's; choose another --port or --host",
            file=sys.stderr,
        )
        return 2
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the page; returns the exit status."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    try:
        login = login_from(os.environ.get("CADDM_PAGE_LOGIN"))
    except ValueError as error:
        parser.error(str(error))
    # A stop ends like Ctrl-C, so that what visitors uploaded is deleted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="caddm-page-") as folder:
        try:
            return serve(options, login, Path(folder))
        except KeyboardInterrupt:
            return 0


if __name__ == "__main__":
    sys.exit(main())
