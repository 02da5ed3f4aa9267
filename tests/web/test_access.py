"""Who may talk to a server: pages of other sites, other names, and requests without the token."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from emotion.web.access import AccessControl, token_for

LIVE = "ws://127.0.0.1:8000/live"
HTML = {"accept": "text/html,*/*"}


async def page(request):
    return PlainTextResponse("secret")


async def talk(socket):
    await socket.accept()
    await socket.send_text("secret")
    await socket.close()


def client(address="http://127.0.0.1:8000", **options):
    routes = [Route("/", page, methods=["GET", "POST"]), WebSocketRoute("/live", talk)]
    app = AccessControl(Starlette(routes=routes), **options)
    return TestClient(app, address, follow_redirects=False)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "192.168.1.7", "mine.lan"])
@pytest.mark.parametrize("port", ["", ":8000"])
def test_names_and_addresses_of_this_computer_are_answered(name, port):
    assert client(f"http://{name}{port}", host="mine.lan").get("/").text == "secret"


@pytest.mark.parametrize(
    "name", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "a@localhost.evil"]
)
def test_a_name_that_points_here_is_refused(name):
    answer = client().get("/", headers={"host": f"{name}:8000"})
    assert answer.status_code == 403 and name in answer.json()["detail"]
    with pytest.raises(WebSocketDisconnect):
        with client().websocket_connect(LIVE, headers={"host": name}):
            pass


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:9000"},  # another server of this computer
        {"origin": "http://localhost:8000"},
        {"origin": "null"},
        {"origin": ""},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe", **HTML},
    ],
)
@pytest.mark.parametrize("token", [None, "right"])
def test_pages_of_other_sites_are_refused(headers, token):
    headers = {**headers, "authorization": "Bearer right"}
    for method in ("GET", "POST"):
        answer = client(token=token).request(method, "/", headers=headers)
        assert answer.status_code == 403 and "secret" not in answer.text
    if "origin" in headers:
        with pytest.raises(WebSocketDisconnect):
            with client(token=token).websocket_connect(LIVE, headers=headers):
                pass


def test_pages_of_the_server_are_answered():
    same = {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}
    assert client().post("/", headers=same).text == "secret"
    with client().websocket_connect(LIVE, headers=same) as socket:
        assert socket.receive_text() == "secret"
    link = {"sec-fetch-site": "cross-site", "sec-fetch-dest": "document", **HTML}
    answer = client().get("/", headers=link)
    assert answer.text == "secret"
    assert answer.headers["content-security-policy"] == "frame-ancestors 'self'"
    assert client().post("/", headers=link).status_code == 403  # a form elsewhere


def test_the_token_is_needed_and_stays_in_a_cookie():
    browser = client(token="right")
    assert browser.get("/", headers=HTML).status_code == 401
    for wrong in ("?token=wrong", "?token=", "?token=rightt", "?token=%C3%A9"):
        assert browser.get(f"/{wrong}").status_code == 401
    assert browser.get("/", headers={"authorization": "Basic right"}).status_code == 401
    with pytest.raises(WebSocketDisconnect):
        with browser.websocket_connect(LIVE):
            pass
    answer = browser.get("/?token=right&a=b", headers=HTML)
    assert answer.status_code == 303 and answer.headers["location"].endswith("8000/?a=b")
    assert {"HttpOnly", "SameSite=lax"} <= set(answer.headers["set-cookie"].split("; "))
    assert browser.get("/", headers=HTML).text == "secret"
    with browser.websocket_connect(LIVE) as socket:
        assert socket.receive_text() == "secret"


def test_programs_send_the_token():
    for headers, path in (({"authorization": "Bearer right"}, "/"), ({}, "/?token=right")):
        name = {"host": "emotion.example"}  # as a proxy hands it on
        assert client(token="right").post(path, headers=headers | name).text == "secret"


@pytest.mark.parametrize(
    "host, received, token, warned",
    [
        ("127.0.0.1", None, None, False),
        ("::1", None, None, False),
        ("localhost", None, None, False),
        ("127.0.0.1", "mine", "mine", False),
        ("127.0.0.1", "", "new", False),
        ("0.0.0.0", None, "new", True),
        ("::", None, "new", True),
        ("mine.lan", None, "new", True),
        ("0.0.0.0", "mine", "mine", True),
    ],
)
def test_a_token_is_needed_where_others_reach_the_server(host, received, token, warned):
    received, warning = token_for(host, received)
    assert bool(warning) == warned
    assert len(received) >= 32 if token == "new" else received == token
    assert token_for(host, "") != token_for(host, "")
