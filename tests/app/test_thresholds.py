"""Thresholds are tried on curves, by mouse and keyboard, and put into force with a reason."""

import pytest

from cdm_inspect import workflows
from cdm_inspect.project import open_project

pytestmark = pytest.mark.browser


def test_thresholds_are_moved_and_put_into_force(reviewed_line, serve, open_page, pictures):
    from playwright.sync_api import expect

    before = open_project(reviewed_line, line="A").calibration("A")
    server = serve(reviewed_line)
    page = open_page(height=1400)
    page.goto(f"{server.url}/cdm/login")
    page.locator("#name").fill("kato")
    page.locator("button").click()
    page.goto(f"{server.url}/thresholds")
    handle = page.get_by_role("slider", name="review from")
    expect(handle).to_be_visible()
    start = float(handle.get_attribute("aria-valuenow"))
    handle.focus()
    for _ in range(3):
        page.keyboard.press("PageDown")
    expect(handle).not_to_have_attribute("aria-valuenow", str(start))
    expect(page.get_by_text("Parts are reviewed from").first).to_be_visible()
    box = page.get_by_role("slider", name="reject from").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"], steps=6)
    page.mouse.up()
    page.wait_for_timeout(1500)
    page.screenshot(path=pictures / "thresholds-moved.png")
    review = float(handle.get_attribute("aria-valuenow"))
    assert review < start
    page.get_by_label("Why").fill("short")
    page.get_by_role("button", name="Put into force").click()
    expect(page.get_by_text("at least 10 characters")).to_be_visible()
    assert open_project(reviewed_line, line="A").calibration("A").version == before.version
    page.get_by_label("Why").fill("too many escapes since May")
    page.get_by_role("button", name="Put into force").click()
    expect(page.get_by_text(f"In force as version {before.version + 1}")).to_be_visible()
    after = open_project(reviewed_line, line="A").calibration("A")
    assert after.version == before.version + 1
    assert after.threshold == pytest.approx(review)
    assert after.reject_threshold > after.threshold
    assert after.scoring_id == before.scoring_id
    with open_project(reviewed_line).open_store() as store:
        (event,) = store.events(action="save-thresholds")
    assert (event.who, event.reason) == ("kato", "too many escapes since May")
    # The page now stands where the line stands.
    expect(handle).to_have_attribute("aria-valuenow", handle.get_attribute("aria-valuenow"))


def test_without_enough_defects_nothing_is_said(line, serve, open_page):
    from playwright.sync_api import expect

    project = open_project(line, line="A")
    list(workflows.inspect(project, "A", [line / "data" / "A" / "test" / "good"]))
    server = serve(line)
    page = open_page()
    page.goto(f"{server.url}/cdm/login")
    page.locator("#name").fill("kato")
    page.locator("button").click()
    page.goto(f"{server.url}/thresholds")
    expect(page.get_by_text("Too little is known to say")).to_be_visible()
    assert page.get_by_role("button", name="Put into force").count() == 0
