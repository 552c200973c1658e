"""Who gets in, and for how long: the login page against the server as a user starts it."""

import html
import json
import time
import urllib.parse

import pytest

from cdm_inspect.roles import Actor, Role
from cdm_inspect_review.launcher import (
    ADDRESS_VARIABLE,
    OIDC_VARIABLE,
    PROJECT_VARIABLE,
)
from cdm_inspect_review.sessions import Signer, plant_secret
from cdm_inspect_review.users import USERS_FILE

PASSWORD = "korrekt-pferd-batterie"
ROOT = Actor("root", Role.ENGINEER)


@pytest.fixture(scope="module")
def plant(tmp_path_factory, hire):
    root = tmp_path_factory.mktemp("login") / "plant"
    root.mkdir()
    (root / "cdm-inspect.toml").write_text('[lines.A]\nnormal = "good"\n')
    hire(root, tanaka="operator", sato="qa", mori="engineer", ito="operator", ueda="operator")
    return root


@pytest.fixture
def passes(ask):
    """Whether a session opens the pages."""

    def look(server, session):
        cookie = {"cookie": f"cdm_session={session}"} if session else {}
        return ask(server, "/", **cookie)[0] == 200

    return look


@pytest.fixture
def asks(ask):
    """What the routes of the desk answer to a session."""

    def look(server, session):
        path, cookie = "/cdm/desk/limit-samples?line=A", f"cdm_session={session}"
        return ask(server, path, x_desk_token=session, cookie=cookie)[0]

    return look


def test_a_password_lets_in_and_nothing_else_does(server, enter, passes):
    session, status, answered, _ = enter(server, "tanaka", PASSWORD)
    assert (status, answered["location"]) == (303, "/")
    assert passes(server, session)
    assert not passes(server, "")
    assert not passes(server, f"{session[:-4]}AAAA")
    assert not passes(server, Signer(b"x" * 32).session(Actor("tanaka", Role.ENGINEER), 1))

    said = []
    for name, password in (
        ("tanaka", "wrong-password"),
        ("nobody", PASSWORD),
        ("", ""),
        ("tanaka\x00", PASSWORD),
    ):
        refused, status, _, page = enter(server, name, password)
        assert (refused, status) == (None, 401)
        said.append("Name or password is wrong." in page)
    assert all(said)


def test_what_is_typed_comes_back_as_text(server, enter):
    _, _, answered, page = enter(server, '"><script>alert(1)</script>', "x", '/"><img src=x>')
    assert "<script>alert" not in page
    assert "<img" not in page
    assert answered["cache-control"] == "no-store"


def test_guessing_is_slowed_down(server, enter):
    for _ in range(5):
        assert enter(server, "ito", "wrong-password")[1] == 401
    session, status, _, page = enter(server, "ito", PASSWORD)
    assert (session, status) == (None, 429)
    assert "Wait" in page
    assert enter(server, "mori", PASSWORD)[1] == 303  # others are not kept out
    time.sleep(2.1)
    assert enter(server, "ito", PASSWORD)[1] == 303


def test_a_session_is_made_anew_by_each_login(server, enter, ask):
    planted = Signer(b"y" * 32).session(Actor("tanaka", Role.ENGINEER), 1)
    form = urllib.parse.urlencode({"name": "tanaka", "password": PASSWORD})
    _, answered, _ = ask(server, "/cdm/login", "POST", form, cookie=f"cdm_session={planted}")
    assert "cdm_session=" in answered["set-cookie"]
    assert planted not in answered["set-cookie"]


ELSEWHERE = (
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "https://evil.example",
    "http:evil.example",
    "javascript:alert(1)",
    "/\t/evil.example",
    "\t//evil.example",
    "/\r\nSet-Cookie: a=b",
    "///evil.example",
    "//[evil",
    "evil",
    "",
    # Of this site, but whoever came back to them would be led away again.
    "/cdm/logout",
    "/cdm/login?next=/cdm/logout",
    "/auth/logout",
    f"/?{'a' * 3000}",
)


@pytest.mark.parametrize("following", ELSEWHERE)
def test_a_login_leads_nowhere_else(server, enter, ask, following):
    _, status, answered, _ = enter(server, "sato", PASSWORD, following)
    assert (status, answered["location"]) == (303, "/")
    _, _, page = ask(server, f"/cdm/login?next={urllib.parse.quote(following)}")
    assert b'name="next" value="/"' in page


def test_a_login_leads_back_to_what_was_asked_for(server, enter, ask):
    _, answered, _ = ask(server, "/drift?kiosk=1&line=A", accept="text/html")
    where = urllib.parse.urlsplit(answered["location"])
    assert where.path == "/cdm/login"
    following = urllib.parse.parse_qs(where.query)["next"][0]
    assert following == "/drift?kiosk=1&line=A"
    assert enter(server, "sato", PASSWORD, following)[2]["location"] == following


def test_whoever_leaves_comes_to_a_login_that_leads_back(server, enter, ask):
    kiosk = "/?kiosk=1&line=B"
    _, answered, _ = ask(server, f"/cdm/logout?next={urllib.parse.quote(kiosk)}")
    where = urllib.parse.urlsplit(answered["location"])
    assert (where.path, urllib.parse.parse_qs(where.query)) == ("/cdm/login", {"next": [kiosk]})
    # Without a session, which is none from the page of somebody else, there is nothing to end.
    assert "set-cookie" not in answered
    for following in ELSEWHERE:
        _, answered, _ = ask(server, f"/cdm/logout?next={urllib.parse.quote(following)}")
        assert answered["location"] == "/cdm/login", following


def test_the_language_of_the_login_is_chosen_and_kept(server, ask, enter):
    japanese, english = '<html lang="ja">', '<html lang="en">'
    kiosk = urllib.parse.quote("/?kiosk=1&line=B", safe="")
    _, answered, page = ask(server, f"/cdm/login?next={kiosk}", accept_language="en-GB")
    assert english in page.decode()
    assert "set-cookie" not in answered
    link = f"/cdm/login?language=ja&amp;next={kiosk}"
    assert f'href="{link}" lang="ja"' in page.decode()

    _, answered, page = ask(server, html.unescape(link), accept_language="en-GB")
    assert japanese in page.decode()
    cookie = answered["set-cookie"].split("; ")
    assert cookie[0] == "cdm_language=ja"
    assert {"Path=/", "SameSite=lax"} <= set(cookie)
    # It holds for the next page, and for one that says what was wrong.
    kept = {"cookie": cookie[0], "accept_language": "en-GB"}
    assert japanese in ask(server, "/cdm/login", **kept)[2].decode()
    assert "名前またはパスワード" in enter(server, "sato", "wrong", **kept)[3]

    for nonsense in ("fr", "JA", "ja%0d%0aa:b", '"><script>', ""):
        quoted = urllib.parse.quote(nonsense)
        _, answered, page = ask(server, f"/cdm/login?language={quoted}", accept_language="ja")
        assert japanese in page.decode(), nonsense
        assert "set-cookie" not in answered, nonsense
        _, _, page = ask(server, "/cdm/login", cookie=f"cdm_language={quoted}")
        assert english in page.decode(), nonsense


def test_the_cookie_is_kept_from_scripts_and_other_sites(server, enter):
    plain = enter(server, "tanaka", PASSWORD)[2]["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/", "max-age=43200"} <= set(plain.split("; "))
    assert "secure" not in plain
    # A proxy on this machine says how it is spoken to.
    behind = enter(server, "tanaka", PASSWORD, x_forwarded_proto="https")[2]["set-cookie"]
    assert "secure" in behind.lower().split("; ")


def test_only_known_proxies_are_believed(plant, dashboard, enter):
    with dashboard(plant, FORWARDED_ALLOW_IPS="192.0.2.7") as server:
        said = enter(server, "tanaka", PASSWORD, x_forwarded_proto="https")[2]["set-cookie"]
    assert "secure" not in said.lower().split("; ")


def test_whoever_leaves_has_left(server, enter, ask, asks, passes):
    session = enter(server, "tanaka", PASSWORD)[0]
    assert passes(server, session)
    assert asks(server, session) == 200
    status, answered, _ = ask(server, "/cdm/logout", cookie=f"cdm_session={session}")
    assert (status, answered["location"]) == (303, "/cdm/login")
    assert 'cdm_session="";' in answered["set-cookie"]
    assert not passes(server, session)
    # The last character of a signature has bits that say nothing.
    others = [session[:-1] + last for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstu"]
    assert not any(passes(server, other) for other in others)
    assert asks(server, session) == 401


def test_a_change_of_the_user_ends_the_session(server, plant, enter, hire, passes):
    accounts = hire(plant)
    session = enter(server, "ueda", PASSWORD)[0]
    assert passes(server, session)
    accounts.change("ueda", password="another-password", by=ROOT, record=lambda _: None)
    assert not passes(server, session)
    session = enter(server, "ueda", "another-password")[0]
    assert passes(server, session)
    accounts.change("ueda", is_active=False, by=ROOT, record=lambda _: None)
    assert not passes(server, session)
    assert enter(server, "ueda", "another-password")[0] is None


def test_a_session_ends_after_its_hours(server, plant, hire, passes):
    signer = Signer(plant_secret(plant))
    tanaka = next(user for user in hire(plant).users() if user.name == "tanaka")
    hour = 3600

    def began(hours_ago):
        return signer.session(tanaka.actor, tanaka.epoch, now=time.time() - hours_ago * hour)

    assert passes(server, began(11.9))
    assert not passes(server, began(12.1))
    assert not passes(server, began(-0.1))  # of the future
    assert not passes(server, signer.session(tanaka.actor, tanaka.epoch - 1))


def test_looking_at_the_page_is_no_attempt(server, ask):
    assert [ask(server, "/cdm/login", "HEAD")[0] for _ in range(8)] == [200] * 8
    assert ask(server, "/cdm/login", "PUT")[0] == 405
    status, _, page = ask(server, "/cdm/login", "POST", b"name=" + b"a" * 100_000)
    assert status == 413
    assert b"far more" in page


@pytest.fixture
def own_plant(tmp_path):
    root = tmp_path / "plant"
    root.mkdir()
    (root / "cdm-inspect.toml").write_text('[lines.A]\nnormal = "good"\n')
    return root


def test_lost_or_broken_users_open_nothing(own_plant, serve, hire, enter, ask, asks, passes):
    hire(own_plant, mori="engineer")
    server = serve(own_plant)
    session = enter(server, "mori", PASSWORD)[0]
    users = own_plant / USERS_FILE
    kept = users.read_bytes()

    users.unlink()
    assert not passes(server, "")
    assert not passes(server, session)
    assert enter(server, "mori", PASSWORD)[:2] == (None, 401)

    users.write_bytes(kept)
    users.chmod(0o644)
    assert not passes(server, session)
    status, _, page = ask(server, "/cdm/login")
    assert status == 503
    assert b"chmod 600" in page
    assert asks(server, session) == 401

    users.write_text(json.dumps({"format": 1, "users": []}))
    users.chmod(0o600)
    assert not passes(server, "")
    assert not passes(server, session)


def test_the_first_user_closes_the_desk(own_plant, serve, hire, enter, asks, passes):
    server = serve(own_plant)
    assert passes(server, "")
    anybody, status, _, _ = enter(server, "mori")
    assert status == 303
    assert asks(server, anybody) == 200
    assert enter(server, "a\u202eb")[:2] == (None, 422)

    hire(own_plant, mori="auditor")
    assert not passes(server, "")
    assert not passes(server, anybody)
    assert asks(server, anybody) == 401


@pytest.mark.parametrize(
    ("address", "hosts", "expected"),
    [
        ("127.0.0.1", "[]", "open"),
        ("::1", "[]", "open"),
        ("0.0.0.0", "[]", "local"),
        ("192.0.2.1", "[]", "local"),
        ("127.0.0.1", '["qa.example"]', "local"),
    ],
)
def test_only_this_machine_is_open(own_plant, monkeypatch, address, hosts, expected):
    """Whoever starts the server, and however."""
    (own_plant / "cdm-inspect.toml").write_text(
        f'[lines.A]\nnormal = "good"\n[review]\nhosts = {hosts}\n'
    )
    monkeypatch.setenv(PROJECT_VARIABLE, str(own_plant))
    monkeypatch.setenv(ADDRESS_VARIABLE, address)
    monkeypatch.delenv(OIDC_VARIABLE, raising=False)
    from cdm_inspect_review import access

    assert access.mode().value == expected


@pytest.mark.browser
def test_an_open_page_ends_with_its_session(plant_folder, serve, hire, sit_down):
    accounts = hire(plant_folder, mori="engineer", tanaka="operator")
    server = serve(plant_folder)
    page = sit_down(server, password=PASSWORD)
    accounts.change("tanaka", role=Role.QA, by=ROOT, record=lambda _: None)
    page.get_by_text("日本語").click()
    page.get_by_text("セッションが終了しました").wait_for()
    page.locator(".board").wait_for(state="detached")
    page.get_by_role("link", name="ログイン").click()
    page.wait_for_url(f"{server.url}/cdm/login")


@pytest.mark.browser
def test_leaving_closes_every_tab(plant_folder, serve, hire, sit_down):
    hire(plant_folder, mori="engineer", tanaka="operator")
    server = serve(plant_folder)
    page = sit_down(server, password=PASSWORD)
    other = page.context.new_page()
    other.goto(server.url)
    other.wait_for_selector(".board[data-shown]")
    page.get_by_role("link", name="Leave").click()
    page.wait_for_url(f"{server.url}/cdm/login")
    other.get_by_text("日本語").click()
    other.get_by_text("セッションが終了しました").wait_for()


@pytest.mark.browser
def test_a_kiosk_stays_one_through_the_login(plant_folder, serve, hire, open_page):
    hire(plant_folder, mori="engineer", tanaka="operator")
    server = serve(plant_folder)
    page = open_page()
    page.goto(f"{server.url}/?kiosk=1")
    page.locator("#name").fill("tanaka")
    page.locator("#password").fill(PASSWORD)
    page.locator("button").click()
    page.wait_for_selector(".board[data-shown]")
    assert page.url == f"{server.url}/?kiosk=1"
    assert not page.get_by_test_id("stHeader").is_visible()


@pytest.mark.browser
def test_a_shift_change_leaves_kiosk_line_and_language(
    plant_folder, serve, hire, open_page, decisions, pictures
):
    from playwright.sync_api import expect

    accounts = hire(plant_folder, mori="engineer", tanaka="operator", sato="qa")
    server = serve(plant_folder)
    page = open_page(locale="en-GB")

    def come(name, awaited=".board[data-shown]"):
        page.locator("#name").fill(name)
        page.locator("#password").fill(PASSWORD)
        page.locator("button").click()
        page.wait_for_selector(awaited)
        return page.url

    page.goto(f"{server.url}/cdm/login?next=/%3Fkiosk%3D1")
    page.get_by_role("link", name="日本語").click()
    page.get_by_text("判定はあなたの名前で").wait_for()
    assert come("tanaka") == f"{server.url}/?kiosk=1"
    expect(page.locator(".st-key-head")).to_contain_text("検査員")

    page.get_by_role("combobox").first.click()
    page.get_by_role("option", name="ライン B").click()
    page.wait_for_url(f"{server.url}/?kiosk=1&line=B")
    page.reload()
    page.wait_for_selector(".board[data-shown]")
    expect(page.locator(".st-key-head")).to_contain_text("検査員")
    page.get_by_role("link", name="ログアウト").click()
    page.get_by_text("判定はあなたの名前で").wait_for()
    assert come("sato") == f"{server.url}/?kiosk=1&line=B"
    assert not page.get_by_test_id("stHeader").is_visible()

    # A session that ends while somebody works: a kiosk has no address bar.
    accounts.change("sato", role=Role.OPERATOR, by=ROOT, record=lambda _: None)
    page.wait_for_timeout(300)
    page.keyboard.press("a")
    way = page.locator(".banner").get_by_role("link", name="ログイン")
    way.wait_for()
    page.screenshot(path=pictures / "logged-out-kiosk.png")
    way.click()
    page.get_by_text("判定はあなたの名前で").wait_for()
    assert come("sato", ".board[data-unsent='0']") == f"{server.url}/?kiosk=1&line=B"
    assert len(decisions(plant_folder)) == 1


@pytest.mark.browser
def test_without_users_a_kiosk_stays_one_too(plant_folder, serve, open_page):
    from playwright.sync_api import expect

    server = serve(plant_folder)
    page = open_page(locale="en-GB")
    page.goto(f"{server.url}/?kiosk=1&line=B")
    page.get_by_role("link", name="Say who you are").click()
    page.locator("#name").fill("tanaka")
    page.locator("button").click()
    page.get_by_text("tanaka · engineer").wait_for()
    assert page.url == f"{server.url}/?kiosk=1&line=B"
    page.get_by_role("link", name="Leave").click()
    page.get_by_role("link", name="Say who you are").wait_for()
    assert page.url == f"{server.url}/?kiosk=1&line=B"
    # The language that was chosen last counts, and is kept over a reload.
    for name, said in (("日本語", "名前を入力"), ("English", "Say who"), ("日本語", "名前を入力")):
        page.get_by_role("radio", name=name).or_(page.get_by_role("button", name=name)).click()
        expect(page.locator("a.way")).to_contain_text(said)
    page.reload()
    expect(page.locator("a.way")).to_contain_text("名前を入力")
    [kept] = [each for each in page.context.cookies() if each["name"] == "cdm_language"]
    assert (kept["value"], kept["sameSite"], kept["path"]) == ("ja", "Lax", "/")


@pytest.mark.browser
def test_the_line_goes_with_the_page_and_with_the_way_back(plant_folder, serve, sit_down):
    from playwright.sync_api import expect

    server = serve(plant_folder)
    page = sit_down(server, locale="en-GB")
    page.get_by_role("combobox").first.click()
    page.get_by_role("option", name="Line B").click()
    page.wait_for_url(f"{server.url}/?line=B")
    page.get_by_role("link", name="History").click()
    expect(page.get_by_role("heading", name="History: B")).to_be_visible()
    page.wait_for_url(f"{server.url}/history?line=B")
    way = page.get_by_role("link", name="Leave")
    expect(way).to_have_attribute("href", "/cdm/logout?next=%2Fhistory%3Fline%3DB")
    page.get_by_role("combobox").first.click()
    page.get_by_role("option", name="Line A").click()
    expect(page.get_by_role("heading", name="History: A")).to_be_visible()
    page.wait_for_url(f"{server.url}/history?line=A")
    page.go_back()
    expect(page.get_by_role("heading", name="History: B")).to_be_visible()
    assert page.url == f"{server.url}/history?line=B"
