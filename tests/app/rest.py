"""Waiting until a page is at rest, by its own state."""

_NOTHING_CHANGES = """
() => new Promise((done) => {
  const rest = () => setTimeout(done, 150);
  let timer = rest();
  new MutationObserver(() => { clearTimeout(timer); timer = rest(); }).observe(
    document, { subtree: true, childList: true, attributes: true, characterData: true });
  setTimeout(done, 3000);
})
"""


def still(page):
    """What is drawn changes and moves no more."""
    page.evaluate(_NOTHING_CHANGES)
    page.wait_for_function(
        "() => document.getAnimations().every((each) => each.playState !== 'running'"
        " || each.effect.getComputedTiming().iterations === Infinity)"
    )


def at_rest(page):
    """The script has run, charts are drawn, parts are on the screen."""
    # Before the first run of the script there is a page too, with nothing on it.
    page.wait_for_selector(
        "[data-testid=stMain] [data-testid=stElementContainer]", state="attached"
    )
    page.wait_for_function(
        "() => !document.querySelector('[data-test-script-state=running]')"
        " && !document.querySelector('[data-testid=stSkeleton]')"
    )
    if page.locator(".board").count():
        page.wait_for_selector(".board[data-shown]")
    still(page)
