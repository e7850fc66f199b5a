"""The pages in a real browser: Debian's Chromium, without a screen."""

import json
import os
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from program import Minilm, Server

#: In seconds; of a page that is computed on a busy machine.
PATIENCE = 30
#: Where pictures of the pages are left, if anywhere.
SCREENSHOTS = os.environ.get("MINILM_SCREENSHOTS")


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = _installed("chromium")
    # As root, which CI is, Chromium has no sandbox; /dev/shm is small in containers.
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "force-color-profile=srgb"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(_installed("chromedriver"))
    with webdriver.Chrome(options=options, service=service) as driver:
        yield driver


def _installed(name: str) -> str:
    path = shutil.which(name)
    assert path, f"{name} is not installed; the package of it and its driver is Debian's chromium-driver"
    return path


class Page:
    """A page that has been opened, and what it did meanwhile."""

    def __init__(self, browser: webdriver.Chrome, server: Server, path: str, scheme: str = "light") -> None:
        self.browser, self.server = browser, server
        for log in ("browser", "performance"):
            browser.get_log(log)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        self.size(1280, 1000)
        browser.get(server.url + path)

    def size(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def __getitem__(self, name: str) -> WebElement:
        return self.browser.find_element(By.ID, name)

    def run(self, script: str) -> object:
        return self.browser.execute_script(f"return {script}")

    def until(self, script: str) -> object:
        return WebDriverWait(self.browser, PATIENCE).until(lambda _: self.run(script), script)

    def write(self, name: str, text: str) -> None:
        # At once, and not by keys: the page hears of it as of what is pasted.
        script = (
            "const [field, text] = arguments; field.value = text; field.dispatchEvent(new Event('input'))"
        )
        self.browser.execute_script(script, self[name], text)

    def ranking(self) -> list[str]:
        return [item.text for item in self["ranking"].find_elements(By.CLASS_NAME, "text")]

    def screenshot(self, name: str) -> None:
        if SCREENSHOTS:
            self.browser.get_screenshot_as_file(str(Path(SCREENSHOTS, f"{name}.png")))

    def behaved(self, *expected: str) -> None:
        """Asserts that nothing went wrong but for that, and that no other server was asked."""
        messages = [entry["message"] for entry in self.browser.get_log("browser")]
        unexpected = [message for message in messages if not any(part in message for part in expected)]
        assert unexpected == []
        events = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        sent = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
        assert sent
        assert [url for url in sent if not url.startswith((self.server.url, "data:"))] == []


def test_the_heat_map_has_the_cosines(browser: webdriver.Chrome, server: Server, minilm: Minilm) -> None:
    page = Page(browser, server, "/")
    page.until("drawn !== null && drawn.cells !== undefined")
    texts = page.run("drawn.texts")
    assert texts == page["sentences"].get_attribute("value").split("\n")
    n = len(texts)
    values = np.array(page.run("Array.from(drawn.values)")).reshape(n, n)
    vectors = minilm.embed(texts).astype(np.float64)
    assert np.abs(values - vectors @ vectors.T).max() < 1e-6
    # What is alike is darker, cell by cell: between the lines and above the numbers, a pixel of each.
    script = """(() => {
        const {n, cell} = drawn, ratio = heat.width / (n * cell);
        const {data, width} = heat.getContext('2d').getImageData(0, 0, heat.width, heat.height);
        return Array.from({length: n * n}, (_, i) => {
            const x = Math.round((i % n + 0.5) * cell * ratio);
            const y = Math.round((Math.floor(i / n) + 0.12) * cell * ratio);
            return Array.from(data.slice(4 * (y * width + x), 4 * (y * width + x) + 4));
        });
    })()"""
    pixels = np.array(page.run(script))
    lightness = pixels[:, :3] @ [0.2126, 0.7152, 0.0722]
    order = np.argsort(np.clip(values.ravel(), 0, 1), kind="stable")
    assert (pixels[:, 3] == 255).all()
    # A step of a colour's channel is the most that rounding may undo.
    assert (np.diff(lightness[order]) < 1.5).all()
    assert np.ptp(lightness) > 150
    page.screenshot("light")
    page.behaved()


def test_the_search_follows_what_is_typed(browser: webdriver.Chrome, server: Server) -> None:
    page = Page(browser, server, "/")
    page.until("drawn !== null")
    for query, best in (
        ("locked out", "My account has been locked."),
        ("sleeping pets", "A kitten is asleep on the windowsill."),
        ("bad day for investors", "Share prices fell sharply today."),
    ):
        page["query"].clear()
        page["query"].send_keys(query)
        page.until(f"vectors.has({json.dumps(query)}) && !running")
        assert page.ranking()[0] == best
    for figure in ("round-trip", "inference"):
        assert float(page[figure].text.removesuffix(" ms")) > 0
    page.write("sentences", "A boat on the lake.\nSomeone counts money.\n\nA ship at sea.")
    page.write("query", "sailing")
    page.until("drawn.n === 3 && vectors.has('sailing') && !running")
    assert set(page.ranking()[:2]) == {"A boat on the lake.", "A ship at sea."}
    page.behaved()


def test_what_is_cut_is_said(browser: webdriver.Chrome, server: Server) -> None:
    page = Page(browser, server, "/")
    page.until("drawn !== null")
    page.write("sentences", "Short.\n" + "word " * 600)
    page.until("drawn.n === 2 && !running")
    assert "256 tokens" in page["cut"].text and page["cut"].text.endswith(": 2")
    page.behaved()


def test_it_is_dark_and_narrow_where_that_is_wanted(browser: webdriver.Chrome, server: Server) -> None:
    page = Page(browser, server, "/", scheme="dark")
    page.until("drawn !== null && drawn.cells !== undefined && !running")
    ground = page.run("getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, ground.removeprefix("rgb(").removesuffix(")").split(","))) < 200
    page.screenshot("dark")
    page.size(390, 1600)
    page.until("innerWidth === 390")
    page.until("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.screenshot("narrow")
    page.behaved()


def test_a_key_is_asked_for(browser: webdriver.Chrome, minilm: Minilm) -> None:
    with minilm.serve("--api-key", "secret") as server:
        page = Page(browser, server, "/")
        page.until("!document.getElementById('key-form').hidden")
        assert "API key" in page["notice-text"].text
        page.screenshot("key")
        page["key"].send_keys("secret")
        page["key"].submit()
        page.until("drawn !== null && document.getElementById('notice').hidden")
        assert len(page.ranking()) == 10
        page.behaved("401")


def test_a_server_that_is_gone_is_missed(browser: webdriver.Chrome, minilm: Minilm) -> None:
    with minilm.serve() as server:
        page = Page(browser, server, "/")
        page.until("drawn !== null && !running")
    page.write("query", "is there anybody")
    page.until("!document.getElementById('notice').hidden")
    assert "cannot be reached" in page["notice-text"].text
    # What was there is still shown.
    assert len(page.ranking()) == 10
    page.behaved(
        "ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "ERR_SOCKET_NOT_CONNECTED"
    )


def test_the_api_is_described_and_can_be_tried(
    browser: webdriver.Chrome, server: Server, minilm: Minilm
) -> None:
    page = Page(browser, server, "/docs")
    page.until("document.querySelectorAll('.operation').length > 5")
    with urllib.request.urlopen(f"{server.url}/openapi.json") as answer:
        document = json.load(answer)
    operations = [f"{method} {path}" for path, item in document["paths"].items() for method in item]
    titles = [
        title.text.lower().replace("\n", " ")
        for title in page.browser.find_elements(By.CSS_SELECTOR, ".operation h2")
    ]
    assert sorted(titles) == sorted(operation.lower() for operation in operations)
    section = next(
        section
        for section in page.browser.find_elements(By.CLASS_NAME, "operation")
        if section.find_element(By.CSS_SELECTOR, "h2 code").text == "/embed"
    )
    body = json.loads(section.find_element(By.TAG_NAME, "textarea").get_attribute("value"))
    page.browser.execute_script("arguments[0].scrollIntoView()", section)
    section.find_element(By.CLASS_NAME, "send").click()
    outcome = section.find_element(By.CLASS_NAME, "outcome")
    WebDriverWait(page.browser, PATIENCE).until(lambda _: "200" in outcome.text)
    assert "good" in outcome.get_attribute("class")
    more = section.find_elements(By.XPATH, ".//button[text()='All of it']")
    if more and more[0].is_displayed():
        more[0].click()
    answer = json.loads(section.find_element(By.CSS_SELECTOR, "pre.body").get_attribute("textContent"))
    expected = minilm.embed(body["inputs"])
    assert (np.array(answer, dtype=np.float32) == expected).all()
    page.screenshot("docs")
    page.behaved()
