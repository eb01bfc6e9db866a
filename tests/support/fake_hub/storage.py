"""Repositories of the local test Hub: immutable files, commits that are snapshots, branches, tags.

Nothing here knows HTTP. Every refusal is a `HubError`, which carries the status code and the
`X-Error-Code` that the Hub would answer with.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatch
from functools import cached_property
from typing import Any

import yaml

REPO_TYPES = ("model", "dataset", "space")
# Above this size a file must be stored as LFS, whatever its name (the Hub's limit for git blobs).
MAX_REGULAR_BYTES = 10 * 1024 * 1024
LFS_PATTERNS = (
    *("*.7z", "*.arrow", "*.bin", "*.bz2", "*.ckpt", "*.ftz", "*.gz", "*.h5", "*.joblib"),
    *("*.lfs.*", "*.mlmodel", "*.model", "*.msgpack", "*.npy", "*.npz", "*.onnx", "*.ot"),
    *("*.parquet", "*.pb", "*.pickle", "*.pkl", "*.pt", "*.pth", "*.rar", "*.safetensors"),
    *("saved_model/**/*", "*.tar.*", "*.tar", "*.tflite", "*.tgz", "*.wasm", "*.xz", "*.zip"),
    *("*.zst", "*tfevents*"),
)
DATASET_LFS_PATTERNS = (
    *("*.pcm", "*.sam", "*.raw", "*.aac", "*.flac", "*.mp3", "*.ogg", "*.wav", "*.mp4", "*.webm"),
    *("*.bmp", "*.gif", "*.png", "*.tiff", "*.jpg", "*.jpeg", "*.webp"),
)


class HubError(Exception):
    """A request that the Hub refuses.

    Args:
        status: HTTP status code of the answer.
        message: One sentence; sent as `X-Error-Message` and as `error` in the JSON body.
        code: `X-Error-Code`, from which the client chooses its exception (`RepoNotFound`,
            `RevisionNotFound`, `EntryNotFound`, `GatedRepo`).
        details: Further keys of the JSON body.
        headers: Further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.details = dict(details or {})
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class StoredFile:
    """The content of one file, and whether git holds it (`regular`) or the large file storage."""

    content: bytes = field(repr=False)
    is_lfs: bool = False

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the content: the name of the file in the large file storage."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def pointer(self) -> bytes:
        """What git holds in place of a large file."""
        lines = ("version https://git-lfs.github.com/spec/v1", f"oid sha256:{self.sha256}")
        return "\n".join((*lines, f"size {len(self.content)}", "")).encode()

    @cached_property
    def blob_id(self) -> str:
        """Git's object name: SHA-1 of the content, for LFS of the pointer, after git's header."""
        blob = self.pointer if self.is_lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(blob) + blob).hexdigest()

    @property
    def etag(self) -> str:
        """The tag that the client names its cache files by."""
        return self.sha256 if self.is_lfs else self.blob_id

    def lfs_info(self, oid_key: str) -> dict[str, Any]:
        """The file's `lfs` entry; the Hub calls the SHA-256 `oid` in trees, `sha256` in infos."""
        size = len(self.content)
        return {oid_key: self.sha256, "size": size, "pointerSize": len(self.pointer)}


@dataclass(frozen=True)
class Commit:
    """One snapshot: every file of the repository as it was after this commit."""

    sha: str
    parent: str | None
    title: str
    message: str
    author: str
    date: str
    files: Mapping[str, StoredFile] = field(repr=False)

    def tree(self, folder: str, *, recursive: bool) -> Iterator[tuple[str, StoredFile | None]]:
        """Paths below `folder` ("" is the root) in order, with their file, or None for a folder.

        Raises:
            HubError: 404 where nothing has that path.
        """
        if folder in self.files:
            yield folder, self.files[folder]
            return
        prefix = f"{folder}/" if folder else ""
        inside = [path for path in self.files if path.startswith(prefix)]
        if folder and not inside:
            raise HubError(404, f"{folder} does not exist on {self.sha}", "EntryNotFound")
        entries: dict[str, StoredFile | None] = {}
        for path in inside:
            steps = path[len(prefix) :].split("/")
            shown = len(steps) if recursive else 1
            for depth in range(1, min(shown, len(steps) - 1) + 1):
                entries[prefix + "/".join(steps[:depth])] = None
            if shown >= len(steps):
                entries[path] = self.files[path]
        yield from sorted(entries.items())

    def entry_info(self, path: str, file: StoredFile | None) -> dict[str, Any]:
        """One entry of a tree listing, as the Hub's JSON has it."""
        if file is None:
            tree_id = hashlib.sha1(f"{self.sha}:{path}".encode()).hexdigest()
            return {"type": "directory", "oid": tree_id, "size": 0, "path": path}
        info = {"type": "file", "oid": file.blob_id, "size": len(file.content), "path": path}
        return info | ({"lfs": file.lfs_info("oid")} if file.is_lfs else {})


class Repository:
    """A repository with its history.

    Attributes:
        repo_type: One of `REPO_TYPES`.
        repo_id: "owner/name".
        private: Whether only the owner may read it.
        gated: False, "auto" or "manual": others than the owner see it but get no file.
        branches: Branch name -> sha of its last commit.
        tags: Tag name -> sha.
        commits: Every commit ever made, by sha.
    """

    def __init__(
        self, repo_type: str, repo_id: str, *, private: bool = False, sdk: str | None = None
    ) -> None:
        self.repo_type = repo_type
        self.repo_id = repo_id
        self.private = private
        self.gated: str | bool = False
        self.sdk = sdk
        self.branches: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.commits: dict[str, Commit] = {}
        patterns = LFS_PATTERNS + (DATASET_LFS_PATTERNS if repo_type == "dataset" else ())
        rules = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in patterns)
        files = {".gitattributes": StoredFile(rules.encode())}
        if sdk is not None:
            files["README.md"] = StoredFile(f"---\ntitle: {self.name}\nsdk: {sdk}\n---\n".encode())
        self.created_at = self._add(None, "initial commit", "", self.owner, files).date

    @property
    def owner(self) -> str:
        """The user whose namespace it is in: the only one who may write."""
        return self.repo_id.split("/")[0]

    @property
    def name(self) -> str:
        """The last part of the repository's name."""
        return self.repo_id.split("/")[1]

    @property
    def url_path(self) -> str:
        """Path of its page: models have no prefix."""
        return self.repo_id if self.repo_type == "model" else f"{self.repo_type}s/{self.repo_id}"

    @property
    def head(self) -> Commit:
        """Last commit of `main`."""
        return self.commits[self.branches["main"]]

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """Path -> content of every file at a revision."""
        return {path: file.content for path, file in self.resolve(revision).files.items()}

    def resolve(self, revision: str) -> Commit:
        """The commit that a branch, a tag, a full sha or at least 7 characters of one names.

        Raises:
            HubError: 404 `RevisionNotFound`.
        """
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        sha = self.branches.get(name) or self.tags.get(name)
        if sha is None and len(revision) >= 7:
            sha = next((sha for sha in self.commits if sha.startswith(revision)), None)
        if sha is None:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[sha]

    def find(self, revision: str, path: str) -> tuple[Commit, StoredFile]:
        """The file at `path` in a revision.

        Raises:
            HubError: 404 `RevisionNotFound` or `EntryNotFound`.
        """
        commit = self.resolve(revision)
        if path not in commit.files:
            # The client remembers under this commit that the file does not exist.
            headers = {"X-Repo-Commit": commit.sha}
            raise HubError(404, "Entry not found", "EntryNotFound", headers=headers)
        return commit, commit.files[path]

    def history(self, commit: Commit) -> Iterator[Commit]:
        """The commit and its ancestors, newest first."""
        yield commit
        while commit.parent is not None:
            commit = self.commits[commit.parent]
            yield commit

    def last_commit(self, head: Commit, path: str) -> Commit:
        """The youngest commit up to `head` that changed the file or folder at `path`."""

        def content(commit: Commit) -> dict[str, StoredFile]:
            inside = f"{path}/"
            return {p: f for p, f in commit.files.items() if p == path or p.startswith(inside)}

        for commit, parent in itertools.pairwise(self.history(head)):
            if content(commit) != content(parent):
                return commit
        return next(commit for commit in self.history(head) if commit.parent is None)

    def commit(
        self,
        branch: str,
        title: str,
        message: str,
        author: str,
        files: Mapping[str, StoredFile],
        parent: str | None = None,
    ) -> Commit:
        """Put a new snapshot on a branch.

        Args:
            branch: An existing branch.
            title: First line of the message.
            message: The rest of it.
            author: User name.
            files: Every file after the commit.
            parent: Sha (or its start) that must still be the branch's last commit.

        Raises:
            HubError: 404 without such a branch; 412 if the branch has moved on from `parent`.
        """
        if branch not in self.branches:
            raise HubError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        head = self.branches[branch]
        if parent is not None and not head.startswith(parent):
            message = "A commit has happened since. Please refresh and try again."
            raise HubError(412, message)
        return self._add(head, title, message, author, files, branch)

    def _add(
        self,
        parent: str | None,
        title: str,
        message: str,
        author: str,
        files: Mapping[str, StoredFile],
        branch: str = "main",
    ) -> Commit:
        date = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        tree = sorted((path, file.blob_id) for path, file in files.items())
        # The count keeps equal snapshots made within one millisecond apart.
        identity = [self.repo_id, parent, title, message, date, len(self.commits), tree]
        sha = hashlib.sha1(json.dumps(identity).encode()).hexdigest()
        self.commits[sha] = Commit(sha, parent, title, message, author, date, dict(files))
        self.branches[branch] = sha
        return self.commits[sha]

    def must_be_lfs(self, commit: Commit, path: str, size: int, sample: bytes) -> bool:
        """Whether the Hub would take this file only into the large file storage.

        So it is when `.gitattributes` says so, above 10 MiB, and for binary content.

        Args:
            commit: The snapshot whose `.gitattributes` holds.
            path: Path in the repository.
            size: Bytes.
            sample: The file's first bytes (the client sends 512).
        """
        if size > MAX_REGULAR_BYTES or b"\0" in sample:
            return True
        rules = commit.files.get(".gitattributes", StoredFile(b"")).content.decode()
        for pattern, *attributes in (line.split() for line in rules.splitlines() if line.strip()):
            subject = path if "/" in pattern else path.rsplit("/", 1)[-1]
            if "filter=lfs" in attributes and fnmatch(subject, pattern):
                return True
        return False


def card_metadata(card: str) -> dict[str, Any] | None:
    """The YAML front matter of a README.md; None where it has none.

    Raises:
        HubError: 400, with the `errors` that the client shows, if the metadata are not usable.
    """
    if not card.startswith("---\n") or "\n---" not in card[3:]:
        return None
    try:
        metadata = yaml.safe_load(card[4:].split("\n---", 1)[0])
    except yaml.YAMLError as error:
        raise _invalid_card([str(error)]) from error
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        raise _invalid_card(["metadata must be a mapping"])
    if problems := list(_card_problems(metadata)):
        raise _invalid_card(problems)
    # Dates are not JSON, in which the Hub sends the metadata on.
    return json.loads(json.dumps(metadata, default=str))


def _invalid_card(problems: list[str]) -> HubError:
    errors = [{"message": problem} for problem in problems]
    details = {"errors": errors, "warnings": []}
    return HubError(400, "Invalid metadata in README.md", details=details)


def _card_problems(metadata: Mapping[str, Any]) -> Iterator[str]:
    """What the Hub would refuse in a card's metadata (the part of its schema that is checked)."""
    for key in ("library_name", "pipeline_tag"):
        if not isinstance(metadata.get(key, ""), str):
            yield f'"{key}" must be a string'
    for key in ("license", "language", "tags", "datasets", "metrics", "base_model"):
        values = metadata.get(key, [])
        if not all(isinstance(v, str) for v in (values if isinstance(values, list) else [values])):
            yield f'"{key}" must be a string or a list of strings'
    for index, model in enumerate(metadata.get("model-index") or ()):
        place = f"model-index[{index}]"
        if not _at(model, "name"):
            yield f'"{place}.name" is required'
        for number, result in enumerate(_at(model, "results") or ()):
            for keys in (("task", "type"), ("dataset", "type"), ("dataset", "name")):
                if not _at(result, *keys):
                    yield f'"{place}.results[{number}].{".".join(keys)}" is required'
            metrics = _at(result, "metrics") or [None]
            if not all(
                _at(metric, "type") and _at(metric, "value") is not None for metric in metrics
            ):
                yield f'"{place}.results[{number}].metrics" must each have a type and a value'


def _at(value: Any, *keys: str) -> Any:
    """What nested mappings hold under these keys; None where there is nothing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value
