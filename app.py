"""The web page: `python app.py`, then open the address it prints.

By default, only this machine can reach the page.
"""

import argparse
import importlib.util
import logging
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from caddm_hf.cli.arguments import WRONG_USE, Parser, whole_number
from caddm_hf.runtime.names import BACKENDS, describe_backends

EPILOG = (
    "Without --host and --share only this machine can reach the page. Set "
    "CADDM_PAGE_LOGIN=name:password to require a login. GRADIO_SERVER_NAME and "
    "GRADIO_SERVER_PORT are the defaults of --host and --port."
)
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1", "[::1]")
NO_MCP = (
    "error: --mcp needs packages that are not installed: pip install 'gradio[mcp]', or leave "
    "--mcp out"
)
# Seconds that open pages may delay the shutdown.
GRACE_S = 1


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; it does not import the page, which takes seconds."""
    parser = Parser(
        prog="python app.py", description="Serve the deepfake check as a web page.", epilog=EPILOG
    )
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port (default: the first free one from 7860)")
    parser.add_argument(
        "--model", metavar="ID", help="model folder or Hub id (default: the bundled model)"
    )
    parser.add_argument("--revision", help="branch, tag or commit of the model on the Hub")
    parser.add_argument(
        "--backend", choices=BACKENDS, default="auto", metavar="NAME", help=describe_backends()
    )
    parser.add_argument(
        "--offer-model",
        metavar="ID",
        action="append",
        default=[],
        help="another model visitors may choose; can be given several times",
    )
    parser.add_argument(
        "--any-model",
        action="store_true",
        help="let visitors name any folder or Hub id (always allowed if only this machine can "
        "reach the page)",
    )
    parser.add_argument(
        "--frames",
        type=whole_number(8, 96),
        default=32,
        metavar="N",
        help="frames sampled by default (32)",
    )
    parser.add_argument(
        "--at-once",
        type=whole_number(1),
        default=1,
        metavar="N",
        help="checks at the same time, each in a process with its own model (default 1)",
    )
    parser.add_argument(
        "--longest-line",
        type=whole_number(1),
        default=100,
        metavar="N",
        help="visitors that may wait; more are asked to come back later (default 100)",
    )
    parser.add_argument(
        "--max-memory-gb",
        type=whole_number(1),
        default=4,
        metavar="GB",
        help="memory of each such process (default 4)",
    )
    parser.add_argument(
        "--max-seconds",
        type=whole_number(1),
        default=900,
        metavar="S",
        help="time for one file (default 900)",
    )
    parser.add_argument(
        "--max-upload-mb",
        type=whole_number(1),
        default=500,
        metavar="MB",
        help="largest accepted file (default 500)",
    )
    parser.add_argument(
        "--share", action="store_true", help="also open a public address through Gradio's servers"
    )
    parser.add_argument(
        "--mcp",
        action="store_true",
        help="also serve the checks as tools for language models (MCP)",
    )
    return parser


def login_from(text: str | None) -> tuple[str, str] | None:
    """Split `name:password` into a pair; None without a login.

    Raises:
        ValueError: `text` is not of that form.
    """
    if not text:
        return None
    name, colon, password = text.partition(":")
    if not (name and colon and password):
        raise ValueError("CADDM_PAGE_LOGIN must be of the form name:password")
    return name, password


def only_here(options: argparse.Namespace) -> bool:
    """Whether only this machine can reach the page."""
    host = options.host or os.environ.get("GRADIO_SERVER_NAME") or LOCAL_HOSTS[0]
    return host in LOCAL_HOSTS and not options.share


def serve(options: argparse.Namespace, login: tuple[str, str] | None, folder: Path) -> int:
    """Serve the page until interrupted; returns the exit status.

    Args:
        options: options of `build_parser`.
        login: name and password that visitors must enter; None for no login.
        folder: folder of all written files: uploads, examples, downloads.
    """
    # Gradio reads these when it is imported.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("GRADIO_TEMP_DIR", str(folder / "uploads"))

    from caddm_hf.detector.config import DetectionConfig
    from caddm_hf.guard.limits import GuardLimits, StartError
    from caddm_hf.media.limits import MediaLimits
    from caddm_hf.page.runners import guarded_runner, named_runner

    max_bytes = options.max_upload_mb * 2**20
    config = DetectionConfig(frames=options.frames, limits=MediaLimits(max_file_bytes=max_bytes))
    limits = GuardLimits(
        memory_bytes=options.max_memory_gb * 2**30, job_s=float(options.max_seconds)
    )
    if os.environ.get("SPACES_ZERO_GPU"):
        # Only this process gets the GPU; `spaces` must be imported before torch.
        import spaces  # noqa: F401

        from caddm_hf.page.runners import LocalRunner
        from caddm_hf.page.worker import load_zero_gpu_detector

        own = LocalRunner(lambda: load_zero_gpu_detector(options.model, options.revision, config))
    else:
        own = guarded_runner(
            options.model, options.revision, config, limits, options.at_once, options.backend
        )
    with ExitStack() as at_the_end:
        at_the_end.callback(own.close)
        own.start()
        # Imported while the worker loads the model.
        from caddm_hf.page.assets import page_css, page_theme
        from caddm_hf.page.checks import Line
        from caddm_hf.page.examples import make_examples
        from caddm_hf.page.kept_results import KeptResults
        from caddm_hf.page.layout import build_page
        from caddm_hf.page.model_choice import ModelChoices

        examples = make_examples(folder / "examples")
        try:
            facts = own.facts()
        except StartError as error:
            print(f"error: {error}", file=sys.stderr)
            return WRONG_USE
        models = ModelChoices(
            own,
            lambda name: named_runner(name, config, limits, options.backend),
            config,
            options.offer_model,
            options.any_model or only_here(options),
            options.model,
        )
        at_the_end.callback(models.close)
        kept = KeptResults()
        at_the_end.callback(kept.close)
        line = Line(options.at_once, options.longest_line)
        page = build_page(models, facts, examples, line, kept)
        # Each waiting visitor holds one of Gradio's threads, so there must be enough of them.
        places = options.at_once + options.longest_line + 50
        try:
            page.queue(default_concurrency_limit=4).launch(
                server_name=options.host,
                server_port=options.port,
                share=options.share,
                auth=login,
                max_file_size=max_bytes,
                max_threads=places,
                mcp_server=options.mcp,
                theme=page_theme(),
                css=page_css(),
                # Gradio's own "Settings" could be mistaken for the page's.
                footer_links=["api"],
                # Keep results and file names of an investigation out of the browser's history.
                run_history=False,
                ssr_mode=False,
                prevent_thread_lock=True,
            )
        except ImportError:  # the package is missing or of an unsuitable version
            print(NO_MCP, file=sys.stderr)
            return WRONG_USE
        except OSError:
            print(
                "error: the page cannot be served there: the port is taken, or the address is not "
                "this machine's; choose another --port or --host",
                file=sys.stderr,
            )
            return WRONG_USE
        try:
            while page.is_running:
                time.sleep(0.1)
        finally:
            # Visitors with the page open must not delay the shutdown or fill the log.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            page.server.config.timeout_graceful_shutdown = GRACE_S
            page.close(verbose=False)
        return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the page; returns the exit status."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    try:
        # Removed, because workers inherit the environment.
        login = login_from(os.environ.pop("CADDM_PAGE_LOGIN", None))
    except ValueError as error:
        parser.error(str(error))
    if options.mcp and importlib.util.find_spec("mcp") is None:
        print(NO_MCP, file=sys.stderr)
        return WRONG_USE
    # Handle SIGTERM like Ctrl-C, so that uploads are deleted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="caddm-page-") as folder:
        before, tempfile.tempdir = tempfile.tempdir, folder  # what is written goes with it
        try:
            return serve(options, login, Path(folder))
        except KeyboardInterrupt:
            return 0
        finally:
            tempfile.tempdir = before


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is closed and deleted; a normal exit of the interpreter would take seconds.
    os._exit(status)
