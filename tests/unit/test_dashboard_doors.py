"""The doors of the console over HTTP: who passes, what the cookie is like, what headers every answer carries."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from core.settings import DashboardSettings, Settings
from dashboard.guard import Guard
from dashboard.headers import CompressedStatic, SecurityHeaders, content_policy
from dashboard.installation import Installation
from dashboard.signin import SignIn, local_path
from store import accounts
from store.tables import accounts as table
from tests.stores import make_store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
PASSWORD = "a long enough password"
HOME = "http://testserver"
PAGE = {"accept": "text/html"}


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def installation(tmp_path: Path, clock: Clock) -> Iterator[Installation]:
    settings = Settings(home=tmp_path, models_home=tmp_path, dashboard=DashboardSettings(port=8702, session_hours=2))
    store = make_store(settings.store_url, now=NOW)
    with store.write(NOW) as tx:
        accounts.create(tx, "ann", PASSWORD, "approver", actor="system:setup")
    yield Installation(settings, store, clock)
    store.close()


@pytest.fixture
def client(installation: Installation) -> TestClient:
    async def page(request: Any) -> PlainTextResponse:
        return PlainTextResponse("the page")

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("the page")
        await websocket.close()

    paths = ("/", "/alerts", "/media/file.csv", "/_stcore/health", "/_stcore/upload_file/x/y", "/static/app.js")
    routes = [Route(path, page, methods=["GET", "POST", "PUT"]) for path in paths]
    inner = Starlette(routes=[*SignIn(installation).routes(), *routes, WebSocketRoute("/_stcore/stream", socket)])
    app = SecurityHeaders(Guard(inner, installation), content_policy("<script>let x = 1</script>"))
    return TestClient(app, follow_redirects=False)


def sign_in(client: TestClient, password: str = PASSWORD, **headers: str) -> Any:
    form = {"name": "ann", "password": password, "next": "/alerts?alert=1"}
    return client.post("/auth/login", data=form, headers={"origin": HOME, **headers})


def test_nothing_is_served_without_a_session(client: TestClient) -> None:
    assert client.get("/", headers=PAGE).headers["location"] == "/auth/login"
    assert client.get("/alerts?alert=1", headers=PAGE).headers["location"] == "/auth/login?next=%2Falerts%3Falert%3D1"
    for path in ("/media/file.csv", "/_stcore/upload_file/x/y", "/", "/_stcore/metrics", "/nowhere"):
        assert client.get(path).status_code == 401
        assert client.put(path).status_code == 401
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/_stcore/stream"):
        pass
    assert client.get("/_stcore/health").status_code == 200
    assert client.get("/static/app.js").status_code == 200


def test_a_made_up_cookie_opens_nothing(client: TestClient) -> None:
    client.cookies.set("trimtab_8702", "made-up")
    assert client.get("/").status_code == 401
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/_stcore/stream"):
        pass


def test_signing_in_opens_pages_and_sockets_until_the_session_ends(client: TestClient, clock: Clock) -> None:
    answer = sign_in(client)
    assert (answer.status_code, answer.headers["location"]) == (303, "/alerts?alert=1")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "max-age=7200" in cookie
    assert client.get("/").text == "the page"
    with client.websocket_connect("/_stcore/stream") as socket:
        assert socket.receive_text() == "the page"
    clock.now += timedelta(hours=2)
    assert client.get("/").status_code == 401


def test_signing_out_ends_the_session_for_good(client: TestClient) -> None:
    sign_in(client)
    token = client.cookies["trimtab_8702"]
    assert client.get("/auth/logout").headers["location"] == "/auth/login"
    client.cookies.set("trimtab_8702", token)
    assert client.get("/").status_code == 401


def test_a_link_elsewhere_neither_signs_in_nor_out(client: TestClient) -> None:
    assert sign_in(client, origin="https://evil.example").status_code == 403
    assert sign_in(client, **{"sec-fetch-site": "cross-site"}).status_code == 403
    sign_in(client)
    client.get("/auth/logout", headers={"sec-fetch-site": "cross-site"})
    assert client.get("/").text == "the page"


def test_a_link_in_a_mail_opens_the_page_on_a_second_request_from_here(client: TestClient) -> None:
    answer = client.get("/alerts?alert=1", headers={**PAGE, "sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    assert 'http-equiv="refresh"' in answer.text


def test_a_wrong_password_shows_the_form_with_the_reason_and_locks_in_the_end(client: TestClient) -> None:
    for _ in range(5):
        answer = sign_in(client, "wrong password")
        assert answer.status_code == 401
        assert "Name or password is wrong" in answer.text
        assert "set-cookie" not in answer.headers
    assert "Too many wrong passwords" in sign_in(client).text


def test_what_was_typed_comes_back_escaped(client: TestClient) -> None:
    form = {"name": '"><script>alert(1)</script>', "password": "x", "next": '"><script>'}
    answer = client.post("/auth/login", data=form, headers={"origin": HOME})
    assert "<script>" not in answer.text


def test_a_large_form_is_refused(client: TestClient) -> None:
    assert client.post("/auth/login", content=b"x" * 5000, headers={"origin": HOME}).status_code == 413


def test_a_second_sign_in_ends_the_first_session(client: TestClient, installation: Installation) -> None:
    sign_in(client)
    first = client.cookies["trimtab_8702"]
    sign_in(client)
    with installation.store.read() as tx:
        assert accounts.by_token(tx, first, now=NOW) is None


def test_a_closed_account_is_out_at_once(client: TestClient, installation: Installation) -> None:
    sign_in(client)
    with installation.store.write(NOW) as tx:
        tx.execute(table.update().values(active=False))
    assert client.get("/").status_code == 401


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/auth/logout",
        "/a\r\nb",
        "",
        "/" + "x" * 2000,
    ],
)
def test_after_signing_in_one_stays_here(wanted: str) -> None:
    assert local_path(wanted) == "/"


def test_every_answer_is_guarded_by_headers(client: TestClient) -> None:
    for answer in (
        client.get("/"),
        client.get("/auth/login"),
        client.get("/static/app.js"),
        sign_in(client),
        client.get("/"),
    ):
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "'unsafe-eval'" not in policy
        assert "http" not in policy.replace("'sha256-", "")
        assert "script-src 'self' 'wasm-unsafe-eval' 'sha256-" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"


def test_a_store_that_is_away_is_a_sentence(client: TestClient, installation: Installation) -> None:
    sign_in(client)
    installation.store.close()
    (installation.settings.home / "trimtab.db").unlink()
    answer = client.get("/", headers=PAGE)
    assert answer.status_code == 503
    assert "The database file is gone" in answer.text
    assert '<meta http-equiv="refresh" content="5">' in answer.text, "and it looks again by itself"
    assert "Traceback" not in answer.text


def test_program_files_go_compressed_and_nothing_else_is_reached(tmp_path: Path) -> None:
    (tmp_path / "js").mkdir()
    (tmp_path / "js" / "app.js").write_text("let x = 1;" * 500)
    (tmp_path.parent / "secret.js").write_text("secret")

    async def other(request: Any) -> PlainTextResponse:
        return PlainTextResponse("other")

    app = CompressedStatic(Starlette(routes=[Route("/{path:path}", other)]), tmp_path)
    client = TestClient(app)
    answer = client.get("/static/js/app.js")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.text == "let x = 1;" * 500
    assert client.get("/static/js/app.js", headers={"accept-encoding": "identity"}).text == "other"
    for path in ("/static/../secret.js", "/static/%2e%2e/secret.js", "/static/js/none.js"):
        assert client.get(path).text == "other"
    app.warm('<script src="./static/js/app.js">').join()
    assert "/static/js/app.js" in app.ready
