"""The command with URLs instead of local paths."""

import pytest

from tests.cli.test_commands import TINY, run

MODEL = ["--model", "gs://bucket/run"]


@pytest.mark.parametrize(
    ("args", "name", "url"),
    [
        (
            ["train", "inpainting", *TINY, "--workdir", "gs://b/r"],
            "--workdir",
            "gs://b/r",
        ),
        (
            ["train", "inpainting", *TINY, "--workdir", "memory://r"],
            "--workdir",
            "memory",
        ),
        (
            ["train", "inpainting", *TINY, "--start.model", "s3://b/r"],
            "start.model",
            "s3",
        ),
        (
            ["train", "inpainting", *TINY, "--data.source", "s3://b/r"],
            "data.source",
            "s3",
        ),
        (
            ["train", "classification", "--data.source", "file:///photos"],
            "data.source",
            "file:///photos",
        ),
        (["evaluate", *MODEL], "--model", "gs://bucket/run"),
        (["fill", "hf://a/b.png", "b.png", "-o", "c.png", *MODEL], "PHOTO", "hf://a/b"),
        (["fill", "a.png", "b.png", "-o", "GS://c.png", *MODEL], "--output", "GS://c"),
        (["detect", "s3://b/c.png", "-o", "out", *MODEL], "PHOTO", "s3://b/c"),
        (["classify", "a.png", "https://b/c.png", *MODEL], "IMAGE", "https://b/c.png"),
        (["export", "-o", "model", *MODEL], "--model", "gs://bucket/run"),
    ],
)
def test_url_is_refused_and_creates_no_folder(
    tmp_path, monkeypatch, capsys, args, name, url
):
    monkeypatch.chdir(tmp_path)
    status, text = run(args, capsys)
    assert status == 2
    error = f"error: `{name}` must be a path of the file system, got '{url}"
    assert error in " ".join(text.split())
    assert [x for x in tmp_path.iterdir() if x.name != "runs"] == []
