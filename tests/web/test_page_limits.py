"""What the visitors of the page may upload in sum."""

from types import SimpleNamespace

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from emotion.web import page_limits, uploads


async def stored(request):
    return PlainTextResponse("stored")


@pytest.fixture
def client(monkeypatch):
    """A client of a server that holds a file of 1.5 MB of the visitor "a"."""
    files = {"a": {"1": SimpleNamespace(data=bytes(1_500_000))}}
    runtime = SimpleNamespace(uploaded_file_mgr=SimpleNamespace(file_storage=files))
    monkeypatch.setattr(page_limits.streamlit.runtime, "get_instance", lambda: runtime)
    routes = [Route("/_stcore/upload_file/{session}/{file}", stored, methods=["PUT", "DELETE"])]
    limits = uploads.Limits(megabytes=1, total=3)
    return TestClient(page_limits.PageLimits(Starlette(routes=routes), limits))


def test_a_visitor_has_room_for_two_files(client):
    assert client.put("/_stcore/upload_file/a/2", content=bytes(400_000)).text == "stored"
    answer = client.put("/_stcore/upload_file/a/2", content=bytes(600_000))
    assert answer.status_code == 413 and "a visitor may upload 2 MB" in answer.text
    assert client.delete("/_stcore/upload_file/a/1").text == "stored"


def test_all_visitors_have_room_for_the_total(client):
    assert client.put("/_stcore/upload_file/b/1", content=bytes(1_000_000)).text == "stored"
    answer = client.put("/_stcore/upload_file/b/1", content=bytes(1_600_000))
    assert answer.status_code == 413 and "3 MB of files are here" in answer.text
    pieces = client.put("/_stcore/upload_file/b/1", content=iter([b"a", b"b"]))  # says no length
    assert pieces.status_code == 413
