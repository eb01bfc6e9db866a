"""A complete collection -> a dataset repository on the Hub, in one commit."""

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from ..core.errors import first_line
from .collection import BUILD
from .records import DatasetError

LEFT_OUT = [f"{BUILD}/**", ".lock"]


def open_repository(repo_id: str, public: bool) -> None:
    """Create the repository if there is none, before any other work.

    Args:
        repo_id: "user/name".
        public: whether a new one is public.

    Raises:
        DatasetError: the Hub cannot be reached or does not allow it.
    """
    try:
        HfApi().create_repo(repo_id, repo_type="dataset", private=not public, exist_ok=True)
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise DatasetError(f"'{repo_id}' cannot be pushed to: {first_line(error)}") from error


def upload_collection(folder: Path, repo_id: str) -> str:
    """Upload a collection, replacing the repository's data; returns the repository's address.

    Raises:
        DatasetError: the upload failed.
    """
    try:
        commit = HfApi().upload_folder(
            repo_id=repo_id,
            repo_type="dataset",
            folder_path=folder,
            ignore_patterns=LEFT_OUT,
            delete_patterns="data/**",  # files of an earlier collection
            commit_message="Upload frame collection",
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise DatasetError(f"The collection was not uploaded: {first_line(error)}") from error
    return str(commit.repo_url)
