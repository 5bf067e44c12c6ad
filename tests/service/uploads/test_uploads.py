import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.client import PART_BYTES, Client
from tests.installation import Installation, installation
from workers.errors import ChecksumMismatch
from workers.jobs.records import Role


@pytest.fixture
def small() -> Iterator[httpx.Client]:
    """A service that takes files up to 1000 bytes, 1500 in all."""
    with installation(max_upload_bytes=1000, quota_bytes=1500) as service, service.http(Role.OPERATOR) as http:
        yield http


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def stored(service: Installation) -> set[str]:
    return {path.name for path in (service.settings.data_dir / "models").iterdir()}


def incoming(service: Installation) -> list[Path]:
    return list((service.settings.data_dir / "incoming").iterdir())


def test_a_raw_body_is_named_by_its_hash(http: httpx.Client, service: Installation) -> None:
    response = http.post("/v1/models", content=b"raw", params={"name": "net.onnx"})
    assert response.status_code == 201
    assert response.headers["Location"] == f"/v1/models/{sha256(b'raw')}"
    assert (response.json()["name"], response.json()["size"]) == ("net.onnx", 3)
    assert (service.settings.data_dir / "models" / sha256(b"raw") / "model.onnx").read_bytes() == b"raw"


def test_a_form_brings_name_and_bytes(http: httpx.Client) -> None:
    data = bytes(range(256)) * 10_000
    form = {"before": (None, b"a field"), "file": ("net.tflite", data), "after": ("second.onnx", b"not this one")}
    response = http.post("/v1/models", files=form)
    assert (response.json()["sha256"], response.json()["name"]) == (sha256(data), "net.tflite")


@pytest.mark.parametrize(
    "body", [b"", b"--b\r\n\r\n", b"--b\r\nContent-Disposition: form-data; name=x; filename=y\r\n\r\nhalf"]
)
def test_a_form_without_a_whole_file_is_refused(http: httpx.Client, service: Installation, body: bytes) -> None:
    response = http.post("/v1/models", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert (response.status_code, response.json()["code"]) == (422, "INVALID_REQUEST")
    assert incoming(service) == []


def test_an_empty_body_is_refused(http: httpx.Client) -> None:
    assert http.post("/v1/models").json()["detail"] == "The upload is empty."


def test_the_same_bytes_are_stored_once(http: httpx.Client) -> None:
    first, second = (http.post("/v1/datasets", content=b"same", params={"name": name}) for name in ("a.npz", "b.npz"))
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json()["name"] == "a.npz"
    assert http.head(f"/v1/datasets/{sha256(b'same')}").status_code == 200


def test_other_bytes_than_announced_are_refused(http: httpx.Client, service: Installation) -> None:
    response = http.put(f"/v1/models/{sha256(b'announced')}", content=b"sent")
    assert (response.status_code, response.json()["code"]) == (409, "CHECKSUM_MISMATCH")
    assert sha256(b"sent") not in stored(service)
    assert incoming(service) == []


def test_the_limit_holds_whether_or_not_the_length_is_announced(small: httpx.Client) -> None:
    def drip() -> Iterator[bytes]:
        for _ in range(11):
            yield bytes(100)

    for body in (bytes(1001), drip()):
        response = small.post("/v1/models", content=body)
        assert (response.status_code, response.json()["code"]) == (413, "TOO_LARGE")


def test_a_key_may_not_store_more_than_its_quota(small: httpx.Client) -> None:
    posted = small.post("/v1/datasets", content=bytes(900))
    assert posted.status_code == 201
    response = small.post("/v1/datasets", content=b"x" * 900)
    assert (response.status_code, response.json()["code"]) == (507, "QUOTA_EXCEEDED")
    small.post(f"/v1/jobs/{posted.json()['job_id']}:cancel")  # its inspection waits
    assert small.delete(f"/v1/datasets/{sha256(bytes(900))}").status_code == 204
    assert small.post("/v1/datasets", content=b"x" * 900).status_code == 201


def test_a_quota_holds_for_uploads_that_do_not_tell_their_length(small: httpx.Client) -> None:
    assert small.post("/v1/datasets", content=bytes(900)).status_code == 201
    response = small.post("/v1/datasets", content=iter([b"x" * 900]))
    assert (response.status_code, response.json()["code"]) == (507, "QUOTA_EXCEEDED")
    assert small.head(f"/v1/datasets/{sha256(b'x' * 900)}").status_code == 404


def test_a_full_disk_is_told() -> None:
    with installation(min_free_bytes=1 << 60) as service, service.http() as http:
        response = http.post("/v1/models", content=b"raw")
    assert (response.status_code, response.json()["code"]) == (507, "STORAGE_FULL")


def test_what_a_job_needs_is_not_removed(http: httpx.Client) -> None:
    model = http.post("/v1/models", content=b"needed").json()
    response = http.delete(f"/v1/models/{model['sha256']}")
    assert (response.status_code, response.json()["code"]) == (409, "CONFLICT"), "its inspection waits"
    http.post(f"/v1/jobs/{model['job_id']}:cancel")
    assert http.delete(f"/v1/models/{model['sha256']}").status_code == 204
    assert http.get(f"/v1/models/{model['sha256']}").status_code == 404


def test_a_model_whose_inspection_was_canceled_is_inspected_again(http: httpx.Client) -> None:
    first = http.post("/v1/models", content=b"again").json()["job_id"]
    http.post(f"/v1/jobs/{first}:cancel")
    response = http.post("/v1/models", content=b"again")
    assert (response.status_code, response.json()["job_state"]) == (200, "QUEUED")
    assert response.json()["job_id"] != first


def test_an_upload_goes_on_where_it_was_cut(http: httpx.Client, service: Installation) -> None:
    data = bytes(range(200))
    begin = {"kind": "model", "name": "net.onnx", "size": 200, "sha256": sha256(data)}
    upload = f"/v1/uploads/{http.post('/v1/uploads', json=begin).json()['id']}"
    assert http.patch(upload, content=data[:150], headers={"Upload-Offset": "0"}).headers["Upload-Offset"] == "150"
    assert http.post(f"{upload}:complete").status_code == 409
    misplaced = http.patch(upload, content=data[100:], headers={"Upload-Offset": "100"})
    assert (misplaced.status_code, misplaced.headers["Upload-Offset"]) == (409, "150")
    assert http.head(upload).headers["Upload-Offset"] == "150"
    assert http.patch(upload, content=data[150:], headers={"Upload-Offset": "150"}).status_code == 200
    done = http.post(f"{upload}:complete")
    assert (done.status_code, done.headers["Location"]) == (201, f"/v1/models/{sha256(data)}")
    assert http.get(upload).status_code == 404
    assert incoming(service) == []


def test_an_upload_that_was_left_behind_is_found_again(http: httpx.Client, admin: httpx.Client, service: Installation) -> None:
    data = bytes(range(200))
    begin = {"kind": "model", "name": "net.onnx", "size": 200, "sha256": sha256(data)}
    first = http.post("/v1/uploads", json=begin).json()
    http.patch(f"/v1/uploads/{first['id']}", content=data[:150], headers={"Upload-Offset": "0"})
    again = http.post("/v1/uploads", json=begin)
    assert (again.json()["id"], again.json()["offset"], again.headers["Upload-Offset"]) == (first["id"], 150, "150")
    assert admin.post("/v1/uploads", json=begin).json()["id"] != first["id"]
    assert http.post("/v1/uploads", json=begin | {"size": 201}).json()["id"] != first["id"]
    http.delete(f"/v1/uploads/{first['id']}")


def test_a_new_client_goes_on_where_one_that_died_was(service: Installation, tmp_path: Path) -> None:
    data = bytes(PART_BYTES) + b"the end"
    path = tmp_path / "big.npz"
    path.write_bytes(data)
    with service.http(Role.OPERATOR) as http:
        begin = {"kind": "dataset", "name": "big.npz", "size": len(data), "sha256": sha256(data)}
        begun = f"/v1/uploads/{http.post('/v1/uploads', json=begin).json()['id']}"
        http.patch(begun, content=data[:PART_BYTES], headers={"Upload-Offset": "0"})
        with Client(service.url, service.keys[Role.OPERATOR]) as client:
            assert client.upload_dataset(path) == sha256(data)
        assert http.get(begun).status_code == 404, "it was completed"


def test_an_upload_takes_no_more_than_announced(http: httpx.Client) -> None:
    begin = {"kind": "dataset", "name": "x.npz", "size": 10, "sha256": "0" * 64}
    upload = f"/v1/uploads/{http.post('/v1/uploads', json=begin).json()['id']}"
    assert http.patch(upload, content=bytes(11), headers={"Upload-Offset": "0"}).status_code == 413
    assert http.patch(upload, content=bytes(10), headers={"Upload-Offset": "0"}).status_code == 200
    assert http.post(f"{upload}:complete").json()["code"] == "CHECKSUM_MISMATCH"
    assert http.get(upload).status_code == 404


def test_uploads_of_others_are_not_there(http: httpx.Client, admin: httpx.Client, service: Installation) -> None:
    begin = {"kind": "dataset", "name": "x.npz", "size": 10, "sha256": "0" * 64}
    upload = f"/v1/uploads/{http.post('/v1/uploads', json=begin).json()['id']}"
    assert admin.get(upload).status_code == 404
    assert http.delete(upload).status_code == 204
    assert http.get(upload).status_code == 404


def test_two_uploads_at_once_leave_one_file(service: Installation, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(bytes(3_000_000))
    threads = [threading.Thread(target=upload, args=(service, path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    folder = service.settings.data_dir / "models" / sha256(bytes(3_000_000))
    assert [file.stat().st_size for file in folder.iterdir()] == [3_000_000]
    assert incoming(service) == []


def upload(service: Installation, path: Path) -> str:
    with Client(service.url, service.keys[Role.OPERATOR]) as client:
        return client.upload_model(path)


def test_the_client_sends_large_files_in_parts(service: Installation, tmp_path: Path) -> None:
    path = tmp_path / "big.zip"
    with path.open("wb") as file:
        file.truncate(PART_BYTES + 5)
    sha = upload(service, path)
    assert (service.settings.data_dir / "models" / sha / "model.zip").stat().st_size == PART_BYTES + 5
    with Client(service.url, service.keys[Role.OPERATOR]) as client, pytest.raises(ChecksumMismatch):
        client._upload_parts("model", path, "0" * 64, PART_BYTES + 5)
