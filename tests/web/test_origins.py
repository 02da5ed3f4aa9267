"""A browser on a page of another site gets nothing from the servers of this computer."""

import http.server
import re
import threading

import pytest
from server import Server

pytestmark = [pytest.mark.slow, pytest.mark.alone]
# What a page elsewhere may try: it tells what it could read.
ATTACK = """async (address) => {
  const url = new URL(address), read = []
  const file = new FormData()
  file.append('file', new Blob(['x']), 'a.mp4')
  const tries = [['/model'], ['/health'], ['/predict', { method: 'POST', body: file }],
    ['/_stcore/health'], ['/_stcore/host-config'], ['/']]
  for (const [path, options] of tries) {
    try { read.push(await (await fetch(url.origin + path, options)).text()) } catch { }
    try { await fetch(url.origin + path, { ...options, mode: 'no-cors' }) } catch { }
  }
  for (const path of ['/live', '/_stcore/stream']) {
    const socket = new WebSocket(url.origin.replace('http', 'ws') + path)
    await new Promise((resolve) => {
      socket.onopen = () => { read.push(path); resolve() }
      socket.onerror = resolve
    })
  }
  return read
}"""


@pytest.fixture(scope="module")
def elsewhere():
    """The port of a server of pages that belong to nobody here."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<title>elsewhere</title>")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(scope="module", params=["serve", "web"])
def servers(request, trained, tmp_path_factory):
    """A server without a token and one with it."""
    started = [
        Server(trained.folder, tmp_path_factory.mktemp("server"), *more, command=request.param)
        for more in ((), ("--token",))
    ]
    yield started
    for server in started:
        server.kill()


@pytest.mark.parametrize("site", ["127.0.0.1", "localhost", "evil.localhost"])
def test_a_page_elsewhere_reads_nothing(servers, browser, elsewhere, site):
    for server in servers:
        page = browser.new_page()
        page.goto(f"http://{site}:{elsewhere}/")
        assert page.evaluate(ATTACK, server.address) == []
        page.goto(server.address)  # with a cookie, too
        page.goto(f"http://{site}:{elsewhere}/")
        assert page.evaluate(ATTACK, server.address) == []
        page.close()
        statuses = re.findall('"POST /predict HTTP/1.1" (...)', "".join(server.said))
        assert set(statuses) == ({"403"} if server.command == "serve" else set())


def test_a_name_that_points_here_reads_nothing(servers, browser):
    for server in servers:
        page = browser.new_page()
        answer = page.goto(f"http://evil.localhost:{server.port}/model")
        assert answer.status in (401, 403)
        page.close()


def test_the_printed_address_works(servers, browser):
    for server in servers:
        page = browser.new_page()
        assert page.goto(server.address).status == 200
        assert "token" not in page.url
        if server.command == "web":
            page.get_by_role("heading", name="Emotion in a recording").wait_for()
        else:
            assert page.evaluate("async () => (await fetch('/model')).status") == 200
        page.close()
    bare = browser.new_context().new_page()
    assert bare.goto(f"http://127.0.0.1:{servers[1].port}/").status == 401
    bare.close()
