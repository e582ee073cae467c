// The page's side of frame_port.py, loaded after watching.js: puts frames on the canvas, and reports when they
// are on the screen, whether the canvas is visible, and where it was touched.

const DRAG_PERIOD = 130; // least ms between two intents of a drag
const DRAG_DISTANCE = 24; // least px between them

const ports = new Map(); // port name → watcher, shared by `initialize` and `render`

const find = (model, name) => model.widget_manager.get_model(model.get(name).slice("IPY_MODEL_".length));

// Draws levels (rows × columns bytes), looked up in colours (256 × 3 bytes), over the whole canvas: pixel by
// pixel, or smoothly enlarged. `scratch` is a canvas for intermediate results.
function paint(canvas, scratch, { rows, columns }, levels, colours) {
  const table = new Uint32Array(256);
  const bytes = new Uint8Array(table.buffer);
  for (let i = 0; i < 256; i++) {
    for (let c = 0; c < 3; c++) bytes[4 * i + c] = colours.getUint8(3 * i + c);
    bytes[4 * i + 3] = 255;
  }
  const { ctx, canvas: target } = canvas;
  const whole = target.width === columns && target.height === rows;
  if (!whole && (scratch.width !== columns || scratch.height !== rows)) {
    [scratch.width, scratch.height] = [columns, rows];
  }
  const context = whole ? ctx : scratch.getContext("2d");
  const image = context.createImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  const source = new Uint8Array(levels.buffer, levels.byteOffset, levels.byteLength);
  for (let i = 0; i < pixels.length; i++) pixels[i] = table[source[i]];
  context.putImageData(image, 0, 0);
  if (!whole) ctx.drawImage(scratch, 0, 0, target.width, target.height);
}

// Saves a file as a download.
function save({ save: name, media }, content) {
  const address = URL.createObjectURL(new Blob([content], { type: media }));
  Object.assign(document.createElement("a"), { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

async function initialize({ model }) {
  const name = model.get("port");
  const manager = await find(model, "manager");
  const canvas = await find(model, "canvas");
  const scratch = document.createElement("canvas");
  const watch = watcher(model);

  const draw = async ({ chronoflux: frame, ...header }, buffers) => {
    // ipycanvas has one current canvas for the whole page: set it to ours for this frame.
    const other = manager.currentCanvas;
    manager.currentCanvas = canvas;
    try {
      paint(canvas, scratch, frame, buffers.at(-2), buffers.at(-1));
      await manager.onCommand(header, buffers.slice(0, -2));
    } catch (error) {
      console.warn(error);
    } finally {
      manager.currentCanvas = other;
    }
  };
  const receive = async (content, buffers) => {
    if (content.save && watch.watching()) save(content, buffers[0]);
    if (!content.chronoflux) return;
    watch.heard();
    // Use ipycanvas's own queue, so that no other commands come between. A failed command would block that
    // queue for ever, so its error is caught here.
    manager.currentProcessing = manager.currentProcessing.catch(console.warn).then(() => draw(content, buffers));
    await manager.currentProcessing;
    const shown = { shown: content.chronoflux.number, client: watch.client };
    requestAnimationFrame(() => model.send(shown, quietly(model)));
  };

  ports.set(name, watch);
  model.on("msg:custom", receive);
  return () => {
    watch.close();
    model.off("msg:custom", receive);
    ports.delete(name);
  };
}

// Reports an intent where the picture is clicked or tapped, and intents along a drag. From the
// keyboard, intents are fired at a cross that the arrow keys move. `send` gets fractions of the picture's sides.
function listen(el, send) {
  const cross = document.createElement("div");
  cross.className = "chronoflux-cross";
  el.append(cross);
  el.tabIndex = 0;
  el.setAttribute("role", "application");
  el.setAttribute("aria-label", "The swarm. Arrow keys move a cross, Enter fires an intent there.");
  const at = [0.5, 0.5];
  const place = () => Object.assign(cross.style, { left: `${100 * at[0]}%`, top: `${100 * at[1]}%` });
  place();
  let last = null; // last report of the drag: time in ms, position in px

  const touch = (event, kind) => {
    const box = el.getBoundingClientRect();
    last = [performance.now(), event.clientX, event.clientY];
    send(kind, [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]);
  };
  el.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    el.setPointerCapture(event.pointerId);
    touch(event, "click");
  });
  el.addEventListener("pointermove", (event) => {
    if (!last || !(event.buttons & 1)) return;
    const far = Math.hypot(event.clientX - last[1], event.clientY - last[2]) >= DRAG_DISTANCE;
    if (far && performance.now() - last[0] >= DRAG_PERIOD) touch(event, "drag");
  });
  for (const end of ["pointerup", "pointercancel"]) el.addEventListener(end, () => (last = null));
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  el.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    if (step) step.forEach((way, i) => (at[i] = Math.min(Math.max(at[i] + way / 40, 0), 1)));
    else if (event.key === "Enter" || event.key === " ") send("click", [...at]);
    else return;
    place();
    event.preventDefault();
    event.stopPropagation(); // the notebook has its own shortcuts on these keys
  });
}

// For screen readers: the sliders of ipywidgets have no accessible name. Use their tooltip or label.
function name(view) {
  for (const handle of view?.querySelectorAll("[role=slider]:not([aria-label])") ?? []) {
    const label = handle.closest(".widget-slider")?.querySelector(".widget-label");
    if (label) handle.setAttribute("aria-label", label.title || label.textContent);
  }
}

// The pane takes the focus in place of ipycanvas's canvas under it, which would trap the keyboard: it is in the
// tab order, and handles every key there, Tab included.
async function leaveTabOrder(model) {
  const canvas = await find(model, "canvas");
  for (const view of Object.values(canvas.views ?? {})) {
    const { el } = await view;
    el.tabIndex = -1;
    el.setAttribute("aria-hidden", "true");
  }
}

function render({ model, el }) {
  listen(el, (kind, at) => model.send({ [kind]: at }));
  leaveTabOrder(model);
  return observe(ports.get(model.get("port")), el, () => name(el.closest(".chronoflux-view")));
}

export default { initialize, render };
