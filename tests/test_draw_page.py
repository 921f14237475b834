"""The page in a real browser: click, collapse, search, step. Skipped where there is no Chromium."""

import json
import os
import re
import shutil
import subprocess

import pytest
import retrograd as rg
from retrograd import nn

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")

# Drives the page from inside, and leaves what it saw as the page's only text.
DRIVER = """
<script>
const seen = {errors: []};
addEventListener("error", event => seen.errors.push(event.message));
const all = selector => [...document.querySelectorAll(selector)];
const ids = selector => all(selector).map(node => node.dataset.id);
const press = node => node.dispatchEvent(new MouseEvent("click", {bubbles: true}));
addEventListener("load", () => {
  try { %s } catch (error) { seen.errors.push(String(error)); }
  document.body.replaceChildren(document.createTextNode("SEEN" + JSON.stringify(seen) + "END"));
});
</script>
"""


@pytest.fixture
def drive(tmp_path):
    """What a script sees in a page, as a dictionary."""

    def run(page, script, *flags):
        path = tmp_path / "page.html"
        path.write_text(page.replace("<noscript>", DRIVER % script + "<noscript>"), "utf-8")
        done = subprocess.run(
            [
                CHROMIUM, *FLAGS, *flags, f"--user-data-dir={tmp_path / 'profile'}",
                "--proxy-server=127.0.0.1:9", "--window-size=1200,900", "--dump-dom", path.as_uri(),
            ],
            capture_output=True, text=True, timeout=120,
            env={**os.environ, "HOME": str(tmp_path)},
        )  # fmt: skip
        found = re.search(r"SEEN(.*?)END", done.stdout, re.DOTALL)
        assert found, done.stdout[-2000:] + done.stderr[-2000:]
        text = found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        seen = json.loads(text)
        assert seen["errors"] == []
        return seen

    return run


@pytest.fixture(scope="module")
def picture():
    rg.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Sequential(nn.Linear(8, 8), nn.ReLU()))
    return model.graph(rg.ones(3, 4))


def test_every_box_is_drawn_and_a_click_shows_its_details(drive, picture):
    seen = drive(
        picture.as_html(),
        """
        seen.drawn = ids(".node");
        const node = document.querySelector('.node[data-id="n2"]');
        press(node);
        seen.details = document.getElementById("details").textContent;
        seen.chosen = ids(".node.chosen");
        press(node);
        seen.after = ids(".node.chosen");
        """,
    )
    assert sorted(seen["drawn"]) == sorted(box.id for box in picture.graph.boxes)
    box = next(box for box in picture.graph.boxes if box.id == "n2")
    assert box.detail in seen["details"]
    assert seen["chosen"] == ["n2"]
    assert seen["after"] == []


def test_a_frame_closes_to_one_box_and_opens_again(drive, picture):
    seen = drive(
        picture.as_html(),
        """
        seen.before = ids(".node").length;
        press(all(".frame text").find(text => text.textContent.includes("2: Sequential")));
        seen.closed = ids(".node.module");
        seen.during = ids(".node").length;
        press(document.querySelector(".node.module"));
        seen.after = ids(".node").length;
        press(document.getElementById("close"));
        seen.all = ids(".node.module").length;
        press(document.getElementById("open"));
        seen.none = ids(".node.module").length;
        """,
    )
    assert len(seen["closed"]) == 1
    assert seen["during"] < seen["before"] == seen["after"]
    assert seen["all"] == 3
    assert seen["none"] == 0


def test_an_overlay_goes_through_what_is_closed(drive):
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 2))
    picture = model.graph(rg.ones(2, 4), overlay="grad")
    seen = drive(
        picture.as_html(),
        """
        press(all(".frame text").find(text => text.textContent.includes("0: Sequential")));
        const node = document.querySelector(".node.module");
        seen.text = node.textContent;
        seen.fill = node.querySelector("path").style.fill;
        seen.details = document.getElementById("details").textContent;
        """,
    )
    tanh = next(box for box in picture.graph.boxes if box.title == "tanh")
    assert f"up to {tanh.heat_text}" in seen["text"]
    assert seen["fill"].startswith("rgb(")


def test_search_finds_boxes_and_dims_the_rest(drive, picture):
    seen = drive(
        picture.as_html(),
        """
        const search = document.getElementById("search");
        search.value = "relu";
        search.dispatchEvent(new Event("input"));
        seen.hits = all(".node.hit").map(node => node.textContent);
        seen.dim = ids(".node.dim").length;
        seen.found = document.getElementById("found").textContent;
        search.value = "";
        search.dispatchEvent(new Event("input"));
        seen.after = ids(".node.hit, .node.dim").length;
        """,
    )
    assert len(seen["hits"]) == 1
    assert "relu" in seen["hits"][0]
    assert seen["dim"] == len(picture.graph.boxes) - 1
    assert seen["found"] == "1 found"
    assert seen["after"] == 0


def test_frame_k_shows_exactly_k_executed_ops_in_order(drive, picture):
    seen = drive(
        picture.as_html(steps=True),
        """
        seen.frames = [ids(".node.done")];
        seen.now = [];
        const count = Number(document.getElementById("frame").max);
        for (let k = 0; k < count; k++) {
          press(document.getElementById("next"));
          seen.frames.push(ids(".node.done"));
          seen.now.push(ids(".node.now"));
        }
        seen.badges = all(".badge").map(badge => badge.textContent);
        press(document.getElementById("back"));
        seen.back = ids(".node.done").length;
        seen.count = document.getElementById("count").textContent;
        press(document.getElementById("first"));
        seen.start = ids(".node.done").length;
        """,
    )
    order = [b.id for b in sorted(picture.graph.boxes, key=lambda b: b.step or 0) if b.step]
    assert [sorted(frame) for frame in seen["frames"]] == [
        sorted(order[:k]) for k in range(len(order) + 1)
    ]
    assert seen["now"] == [[id] for id in order]
    assert seen["back"] == len(order) - 1
    assert seen["count"].startswith(f"{len(order) - 1} of {len(order)}")
    assert seen["start"] == 0
    norm = next(b.norm for b in picture.graph.boxes if b.id == order[0])
    assert f"1.  ‖g‖ = {norm:.3g}" in seen["badges"]


def test_wheel_and_drag_move_the_picture(drive, picture):
    seen = drive(
        picture.as_html(),
        """
        const world = document.getElementById("world"), canvas = document.getElementById("canvas");
        const place = () => world.getAttribute("transform");
        seen.places = [place()];
        canvas.dispatchEvent(new WheelEvent("wheel", {deltaY: -300, clientX: 200, clientY: 200}));
        seen.places.push(place());
        canvas.dispatchEvent(new PointerEvent("pointerdown", {clientX: 200, clientY: 200}));
        window.dispatchEvent(new PointerEvent("pointermove", {clientX: 260, clientY: 240}));
        window.dispatchEvent(new PointerEvent("pointerup"));
        seen.places.push(place());
        canvas.dispatchEvent(new KeyboardEvent("keydown", {key: "-"}));
        seen.places.push(place());
        press(document.getElementById("fit"));
        seen.places.push(place());
        """,
    )
    places = seen["places"]
    assert len(set(places[:4])) == 4
    assert places[4] == places[0]


CONTRAST = """
const light = colour => {
  const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (a, b) => {
  const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};
const ground = element => {
  for (let e = element; e; e = e.parentElement) {
    const path = e.matches(".node, .frame, .edge") && e.querySelector("path.ground, path");
    if (path) return getComputedStyle(path).fill;
    const colour = getComputedStyle(e).backgroundColor;
    if (colour !== "rgba(0, 0, 0, 0)") return colour;
  }
  return "rgb(255, 255, 255)";
};
press(document.getElementById("next"));
press(document.querySelector(".node"));
seen.page = getComputedStyle(document.body).backgroundColor;
seen.low = [];
seen.count = 0;
for (const e of all("text, h1, h2, p, li, button, label, output, aside, #legend span, #steps b")) {
  if (!e.textContent.trim()) continue;
  const own = e.matches("text") ? getComputedStyle(e).fill : getComputedStyle(e).color;
  const under = e.matches(".badge:not([x='0'])") ? seen.page : ground(e);
  const value = contrast(own, under);
  seen.count++;
  if (!(value >= 4.5)) seen.low.push([e.textContent.slice(0, 40), own, under, value]);
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("options", [{}, {"overlay": "grad"}], ids=str)
def test_every_text_in_the_page_stands_out_as_the_browser_paints_it(drive, scheme, options):
    class Unsafe(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.frozen = nn.Linear(4, 4), nn.Linear(4, 4).requires_grad_(False)

        def forward(self, x):
            for _ in range(3):
                x = (self.used(x) * 0).log()
            return x

    page = Unsafe().graph(rg.ones(2, 4), **options).as_html()
    flag = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
    seen = drive(page, CONTRAST, flag)
    assert seen["page"] == ("rgb(18, 22, 28)" if scheme == "dark" else "rgb(255, 255, 255)")
    assert seen["count"] > 30
    assert seen["low"] == []


def test_names_are_never_markup_in_the_page(drive):
    x = rg.ones(2, requires_grad=True)
    name = "<img src=x onerror=alert(1)>"
    page = rg.draw(x.exp(), {name: x}, names={name: x}).as_html()
    seen = drive(
        page,
        """
        seen.images = all("img").length;
        seen.text = document.querySelector('.node[data-id="n0"] text').textContent;
        press(document.querySelector('.node[data-id="n0"]'));
        seen.images += all("img").length;
        """,
    )
    assert seen["images"] == 0
    assert seen["text"] == name


def test_a_deep_model_opens_collapsed_and_shows_its_steps(drive):
    model = nn.Sequential(
        *[nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.ReLU()) for _ in range(30)]
    )
    picture = model.graph(rg.ones(2, 4), roll=False)
    seen = drive(
        picture.as_html(),
        """
        seen.before = ids(".node").length;
        press(document.getElementById("open"));
        seen.after = ids(".node").length;
        """,
    )
    assert seen["before"] <= 40
    assert seen["after"] > 200
