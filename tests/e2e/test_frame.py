"""The frame of every page: signing in, theme, dialogs, keys, error pages."""

import gzip
import json
import re

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.test import override_settings
from django.urls import reverse
from playwright.sync_api import expect

from topicassign.storage import bundled_stylesheet

CSS_ENTRY = django_settings.BASE_DIR / "static" / "css" / "app.css"


def test_sign_in_with_the_form_and_out_again(site, project, alice):
    page = site.open("/login/")
    page.locator("[name=username]").fill("alice")
    page.locator("[name=password]").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="Customer survey")).to_be_visible()
    page.get_by_role("button", name="Account menu").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()


def test_a_wrong_password_is_told_beside_the_form(site, alice):
    page = site.open("/login/")
    page.locator("[name=username]").fill("alice")
    page.locator("[name=password]").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("do not belong together")
    expect(page.locator("[name=username]")).to_have_value("alice")
    site.assert_accessible()


def test_the_theme_is_kept_and_drawn_by_the_server(site, alice):
    site.sign_in(alice)
    page = site.open("/")
    page.get_by_role("button", name="Account menu").click()
    page.get_by_role("button", name="Dark", exact=True).click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert 'data-theme="dark"' in page.request.get(f"{site.url}/").text()


def test_the_menu_opens_by_arrow_closes_by_escape_and_gives_focus_back(site, alice):
    site.sign_in(alice)
    page = site.open("/")
    button = page.get_by_role("button", name="Account menu")
    button.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#user-menu")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#user-menu")).to_be_hidden()
    expect(button).to_be_focused()


def test_question_mark_shows_the_keys_and_single_keys_can_be_switched_off(site, alice):
    site.sign_in(alice)
    page = site.open("/")
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog")
    expect(sheet).to_contain_text("Undo the last change")
    site.assert_accessible()
    sheet.get_by_role("switch", name="Single-key shortcuts").uncheck()
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)
    assert page.evaluate("localStorage.getItem('shortcuts')") == "off"


def test_the_skip_link_is_first_and_leads_to_the_content(site, alice):
    site.sign_in(alice)
    page = site.open("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


@pytest.fixture
def served_files(tmp_path):
    """Every static file as the server sends it: collected, bundled, without comments, hashed, compressed."""
    storages = django_settings.STORAGES | {"staticfiles": {"BACKEND": "topicassign.storage.ModuleStorage"}}
    with override_settings(STATIC_ROOT=tmp_path, STORAGES=storages):
        call_command("collectstatic", interactive=False, verbosity=0)
    names = json.loads((tmp_path / "staticfiles.json").read_text())["paths"]
    return {name: tmp_path / hashed for name, hashed in names.items()}


def test_a_page_weighs_less_than_sixty_kilobytes_compressed(site, served_files, alice, column, column_url):
    """The heaviest page with all that it needs to be used, as it goes over the wire in production.

    What comes later, when the browser has nothing else to do, has a limit of its own.
    """
    bodies: dict[str, bytes] = {}
    site.page.on("response", lambda answer: bodies.update({answer.url: answer.body()}))
    site.sign_in(alice)
    page = site.open(column_url(column))
    expect(page.locator("#row-count")).to_contain_text("rows")
    expect(page.get_by_role("tabpanel")).not_to_be_empty()
    expect(page.locator("topic-selection:defined")).to_be_attached()
    page.wait_for_load_state("networkidle")  # what comes later has come

    assert "@import" not in served_files["css/app.css"].read_text()
    bundled = {f"css/{name}" for name in re.findall(r'@import url\("([^"]+)"\)', CSS_ENTRY.read_text())}
    sizes = {}
    for url, body in bodies.items():
        _, static, name = url.partition("/static/")
        if not static:
            sizes[url] = len(gzip.compress(body))
        elif name not in bundled:
            sizes[name] = served_files[name].with_name(served_files[name].name + ".br").stat().st_size
    later = page.evaluate(
        """() => performance.getEntriesByType("resource")
          .filter(one => /\\/static\\/(js|css)\\//.test(one.name))
          .filter(one => one.startTime > performance.getEntriesByName("ready")[0].startTime)
          .map(one => one.name.split("/static/")[1])"""
    )
    n_later = sum(sizes.pop(name) for name in set(later))
    assert n_later < 22_000, f"{n_later} bytes: {sorted(set(later))}"
    total = sum(sizes.values())
    assert total < 60_000, f"{total} bytes: {sorted(sizes.items(), key=lambda one: -one[1])}"


def test_the_small_style_sheets_say_what_their_sources_say(page, served_files):
    rules = """text => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(text);
      return [...sheet.cssRules].map(rule => rule.cssText).join("\\n").replace(/\\s*([,:(){}])\\s*/g, "$1");
    }"""
    own = [name for name in served_files if re.fullmatch(r"css/(app|pages/\w+)\.css", name)]
    assert len(own) > 4
    for name in own:
        source = bundled_stylesheet(name)
        assert len(served_files[name].read_text()) < len(source)
        assert page.evaluate(rules, served_files[name].read_text()) == page.evaluate(rules, source)


def test_the_small_modules_run(page, served_files):
    """Every own module, as served, is still valid JavaScript: a browser reads it to the end."""
    own = {name: path.read_text() for name, path in served_files.items() if name.startswith("js/")}
    assert len(own) > 20
    for name, text in own.items():
        # Imports cannot be resolved here: what matters is that nothing else is refused.
        problem = page.evaluate(
            """text => import(URL.createObjectURL(new Blob([text], {type: "text/javascript"})))
                 .then(() => "", error => error.message)""",
            text,
        )
        assert "SyntaxError" not in problem, f"{name}: {problem}"
        assert problem == "" or "resolve" in problem or "Failed to fetch" in problem, f"{name}: {problem}"


def test_a_form_sent_before_htmx_has_read_it_still_goes_through_htmx(site, column, alice, column_url):
    """Very fast typing, or a slow machine: between the swap and its settling a submit would be native."""
    site.sign_in(alice)
    page = site.open(column_url(column))
    page.evaluate(
        """url => {
          const form = document.createElement("form");
          form.method = "post";
          form.action = url;
          form.innerHTML = "<button>Send</button>";
          form.setAttribute("hx-post", url);
          form.setAttribute("hx-swap", "none");
          document.body.append(form);
          form.requestSubmit();
        }""",
        column_url(column, "undo/"),
    )
    expect(page.locator("#toasts")).to_contain_text("nothing of yours left to undo")
    assert page.url.endswith(column_url(column))


def test_a_browser_that_forbids_storage_works_all_the_same(site, project, column, alice):
    """Drafts, tabs and places in a list are then not kept; nothing throws (the fixture watches for errors)."""
    site.page.add_init_script(
        """const forbidden = () => { throw new DOMException("forbidden", "SecurityError"); };
        for (const area of ["sessionStorage", "localStorage"])
          Object.defineProperty(window, area, { get: forbidden });"""
    )
    site.sign_in(alice)
    page = site.open(reverse("projects:settings", args=[project.pk]))
    page.get_by_label("Description").fill("Typed without a draft")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Settings saved.")).to_be_visible()
    page = site.open(f"/columns/{column.pk}/")
    page.get_by_role("tab", name="Statistics").click()
    expect(page.get_by_role("tabpanel", name="Statistics")).to_contain_text("Unique texts")
    page.locator("article.row").first.click()
    expect(page.get_by_role("heading", name="Row 1")).to_be_visible()
    page.reload()
    expect(page.locator("article.row").first).to_be_visible()
