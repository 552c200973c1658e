"""Image and map files: in a folder, and on a real S3 server."""

import boto3
import pytest
from moto.server import ThreadedMotoServer

from cdm_inspect.errors import StorageError
from cdm_inspect.storage import SqlStore, SqlUpkeep
from cdm_inspect.storage.files import open_files
from cdm_inspect.testing.specimens import a_part, evidence_of


@pytest.fixture(scope="session")
def s3_server():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server, monkeypatch):
    """An empty bucket, with what a user would set to reach it."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", s3_server),
    ):
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="parts")
    yield client
    bucket = boto3.resource("s3").Bucket("parts")
    bucket.objects.delete()
    bucket.delete()


@pytest.fixture(params=["folder", "s3"])
def files(request, tmp_path):
    if request.param == "s3":
        request.getfixturevalue("s3")
        return open_files("s3://parts/images", tmp_path)
    return open_files("images", tmp_path)


def change(files, request, name, data):
    if hasattr(files, "root"):
        (files.root / name[:2] / name).write_bytes(data)
    else:
        request.getfixturevalue("s3").put_object(
            Bucket="parts", Key=f"images/{name[:2]}/{name}", Body=data
        )


def test_bytes_come_back_by_their_hash(files):
    assert files.is_empty()
    name = files.put(b"evidence")
    assert files.put(b"evidence") == name
    assert files.get(name) == b"evidence"
    assert files.size(name) == len(b"evidence")
    assert files.size("0" * 64) is None
    assert not files.is_empty()


def test_what_changed_is_not_given_out_and_can_be_put_again(files, request):
    name = files.put(b"evidence")
    change(files, request, name, b"evidencE")
    with pytest.raises(StorageError, match="has changed"):
        files.get(name)
    change(files, request, name, b"cut sho")
    assert files.put(b"evidence") == name
    assert files.get(name) == b"evidence"


def test_names_are_hashes_and_nothing_else(files):
    with pytest.raises(StorageError, match="missing"):
        files.get("0" * 64)
    for name in ("../../etc/passwd", "a" * 63, "A" * 64, ""):
        with pytest.raises(StorageError, match="64 digits"):
            files.get(name)


def test_a_sweep_takes_only_what_is_old_and_not_in_use(files):
    kept, gone = files.put(b"in use"), files.put(b"not in use")
    assert files.sweep(lambda names: set(), age=3600.0, is_dry=False).files == 0
    dry = files.sweep(lambda names: {kept}, age=-60.0, is_dry=True)
    assert (dry.files, dry.bytes) == (1, len(b"not in use"))
    assert files.size(gone)
    assert files.sweep(lambda names: {kept}, age=-60.0, is_dry=False) == dry
    assert files.size(kept)
    assert files.size(gone) is None


def test_a_store_with_its_files_on_s3(s3, tmp_path):
    with SqlStore("sqlite:///cdm.db", "s3://parts/images", root=tmp_path) as store:
        kept = store.append(a_part(1), evidence=evidence_of(1))
        assert store.read_file(kept.image_sha256) == evidence_of(1)
    assert not (tmp_path / "images").exists()
    upkeep = SqlUpkeep("sqlite:///cdm.db", "s3://parts/images", root=tmp_path)
    found = upkeep.verify(anchor=None, has_files=True, progress=lambda *said: None)
    assert (found.files, found.bad_files) == (2, ())
    assert upkeep.backup(tmp_path / "backup", progress=lambda *said: None).files == 2
    (tmp_path / "cdm.db").unlink()
    with pytest.raises(StorageError, match=r"s3://parts/images holds its images"):
        SqlStore("sqlite:///cdm.db", "s3://parts/images", root=tmp_path)


def test_a_bucket_that_is_not_there_records_nothing(s3, tmp_path):
    with SqlStore("sqlite:///cdm.db", "s3://nowhere/images", root=tmp_path) as store:
        with pytest.raises(StorageError, match=r"cannot be kept at s3://nowhere"):
            store.append(a_part(1), evidence=evidence_of(1))
        assert store.lines() == []


def test_an_address_that_nothing_serves_is_refused(tmp_path):
    with pytest.raises(StorageError, match="expected a folder or an address"):
        open_files("nonsense://bucket/x", tmp_path)
