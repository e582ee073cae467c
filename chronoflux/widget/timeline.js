// The page's side of timeline.py: draws the scrub bar, and reports where it was dragged to.

const LANE = 40; // height of a run's lane, px
const FOOT = 20; // height of the time labels, px
const SIDE = 8;

const clock = (seconds) => {
  const s = Math.floor(seconds);
  const two = (n) => String(n).padStart(2, "0");
  return `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
};

// Seconds between two time labels: a round number, about 80 px apart.
const grid = (duration, width) => {
  const steps = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400];
  return steps.find((step) => duration / step <= width / 80) ?? 86400 * Math.ceil(duration / 864000);
};

function render({ model, el }) {
  const bar = document.createElement("canvas");
  const tip = document.createElement("div");
  bar.tabIndex = 0;
  tip.className = "chronoflux-tip";
  for (const [name, value] of Object.entries({ role: "slider", "aria-label": "Position in the recorded time" })) {
    bar.setAttribute(name, value);
  }
  el.append(bar, tip);
  let dragged = null; // seconds, while the pointer is down
  let asked = null; // position requested last, until the kernel shows it
  let said = 0;

  const width = () => bar.clientWidth - 2 * SIDE;
  const duration = () => Math.max(model.get("duration"), 1e-9);
  const toX = (s) => SIDE + (s / duration()) * width();
  const toSecond = (x) => Math.min(Math.max(((x - SIDE) / width()) * duration(), 0), duration());
  const position = () => dragged ?? asked ?? model.get("position");

  const draw = () => {
    const lanes = Math.max(model.get("names").length, 1);
    const [w, h] = [bar.clientWidth, lanes * LANE + FOOT];
    const scale = window.devicePixelRatio || 1;
    bar.style.height = `${h}px`;
    if (bar.width !== Math.round(w * scale) || bar.height !== Math.round(h * scale)) {
      [bar.width, bar.height] = [Math.round(w * scale), Math.round(h * scale)];
    }
    const pen = bar.getContext("2d");
    const style = getComputedStyle(bar);
    const [ink, paper] = [style.color, style.getPropertyValue("--lane").trim() || "rgba(128,128,128,.14)"];
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, w, h);
    pen.font = "11px system-ui, sans-serif";
    const view = model.get("curves");
    const points = view.byteLength ? new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength)) : [];
    const each = points.length / lanes;
    model.get("names").forEach((name, run) => {
      const top = run * LANE;
      pen.fillStyle = paper;
      pen.fillRect(SIDE, top + 2, width(), LANE - 4);
      pen.fillStyle = "rgba(79, 143, 240, 0.5)";
      for (let i = 0; i < each; i++) {
        const H = points[run * each + i];
        if (!(H >= 0)) continue;
        const high = H * (LANE - 6);
        pen.fillRect(SIDE + (i / each) * width(), top + LANE - 3 - high, Math.max(width() / each, 1), high);
      }
    });
    const marks = model.get("marks");
    const dense = marks.length > width() / 2;
    for (const [s, run, colour, own] of marks) {
      pen.strokeStyle = pen.fillStyle = colour;
      pen.globalAlpha = dense ? 0.6 : 0.9;
      const [x, y] = [toX(s), run * LANE + 3];
      if (own || dense) pen.fillRect(x - 1, y, dense ? 1 : 2, own ? 12 : 7);
      else pen.strokeRect(x - 1.5, y + 0.5, 3, 11);
    }
    pen.globalAlpha = 1;
    pen.fillStyle = ink;
    model.get("names").forEach((name, run) => lanes > 1 && pen.fillText(name, SIDE + 4, run * LANE + LANE - 8));
    const step = grid(duration(), width());
    for (let s = 0; s <= duration(); s += step) {
      const text = clock(s);
      pen.fillText(text, Math.min(toX(s), w - SIDE - pen.measureText(text).width), h - 6);
      pen.fillRect(toX(s), lanes * LANE, 1, 4);
    }
    const x = toX(position());
    pen.fillRect(x - 1, 0, 2, lanes * LANE);
    pen.beginPath();
    pen.arc(x, lanes * LANE, 5, 0, 2 * Math.PI);
    pen.fill();
    bar.setAttribute("aria-valuemin", "0");
    bar.setAttribute("aria-valuemax", String(Math.round(duration())));
    bar.setAttribute("aria-valuenow", String(Math.round(position())));
    bar.setAttribute("aria-valuetext", `${clock(position())} of ${clock(duration())}`);
  };

  const seek = (s, now) => {
    asked = Math.min(Math.max(s, 0), duration());
    if (now || performance.now() - said > 40) {
      said = performance.now();
      model.send({ seek: asked });
    }
    draw();
  };
  const near = (x, y) => {
    const run = Math.floor(y / LANE);
    const marks = model.get("marks").filter((mark) => mark[1] === run && Math.abs(toX(mark[0]) - x) < 5);
    return marks.sort((a, b) => Math.abs(toX(a[0]) - x) - Math.abs(toX(b[0]) - x))[0];
  };
  bar.addEventListener("pointerdown", (event) => {
    bar.setPointerCapture(event.pointerId);
    bar.focus({ preventScroll: true });
    dragged = toSecond(event.offsetX);
    seek(dragged, true);
  });
  bar.addEventListener("pointermove", (event) => {
    const s = toSecond(event.offsetX);
    if (dragged !== null) {
      dragged = s;
      seek(s, false);
    }
    const mark = near(event.offsetX, event.offsetY);
    tip.textContent = mark ? `${clock(mark[0])} ${mark[4]}` : clock(s);
    tip.style.left = `${Math.min(event.offsetX + 10, bar.clientWidth - tip.offsetWidth - 4)}px`;
    tip.style.visibility = "visible";
  });
  const drop = () => {
    if (dragged === null) return;
    seek(dragged, true);
    dragged = null;
  };
  bar.addEventListener("pointerup", drop);
  bar.addEventListener("pointercancel", drop);
  bar.addEventListener("pointerleave", () => (tip.style.visibility = "hidden"));
  bar.addEventListener("keydown", (event) => {
    const small = Math.max(duration() / 500, 0.5);
    const moves = { ArrowLeft: -small, ArrowRight: small, ArrowDown: -small, ArrowUp: small };
    if (event.key in moves) seek(position() + moves[event.key], true);
    else if (event.key === "Home") seek(0, true);
    else if (event.key === "End") seek(duration(), true);
    else if (event.key === "PageDown" || event.key === "PageUp") model.send({ step: event.key === "PageDown" ? 1 : -1 });
    else if (event.key === " ") model.send({ toggle: true });
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  const follow = () => {
    asked = null;
    draw();
  };
  const observer = new ResizeObserver(draw);
  observer.observe(bar);
  model.on("change:position", follow);
  model.on("change:duration change:marks change:curves change:names", draw);
  draw();
  return () => {
    observer.disconnect();
    model.off("change:position", follow);
    model.off("change:duration change:marks change:curves change:names", draw);
  };
}

export default { render };
