// The page's end of frames.py: puts the field on its canvas, says when a frame is on the screen,
// whether anybody can see it, and where it was clicked.

const QUIET = 3000; // ms without a frame after which a watching page says so again

const ports = new Map(); // by the port's name: what `initialize` and `render` share

const find = (model, name) => model.widget_manager.get_model(model.get(name).slice("IPY_MODEL_".length));

// Levels (rows × columns bytes) and colours (256 × 3 bytes) → the whole of the canvas, smoothly enlarged.
function paint(canvas, scratch, { rows, columns }, levels, colours) {
  if (scratch.width !== columns || scratch.height !== rows) {
    [scratch.width, scratch.height] = [columns, rows];
  }
  const context = scratch.getContext("2d");
  const image = context.createImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  const table = new Uint32Array(256);
  const bytes = new Uint8Array(table.buffer);
  for (let i = 0; i < 256; i++) {
    for (let c = 0; c < 3; c++) bytes[4 * i + c] = colours.getUint8(3 * i + c);
    bytes[4 * i + 3] = 255;
  }
  for (let i = 0; i < pixels.length; i++) pixels[i] = table[levels.getUint8(i)];
  context.putImageData(image, 0, 0);
  canvas.ctx.imageSmoothingQuality = "high";
  canvas.ctx.drawImage(scratch, 0, 0, canvas.canvas.width, canvas.canvas.height);
}

async function initialize({ model }) {
  const name = model.get("port");
  const client = Math.random().toString(36).slice(2);
  const manager = await find(model, "manager");
  const field = await find(model, "field");
  const scratch = document.createElement("canvas");
  const views = new Map(); // element → whether it can be seen
  let watching = false;
  let displayed = false;
  let heard = 0;

  const announce = () => {
    heard = performance.now();
    model.send({ watching, displayed, client });
  };
  const look = () => {
    const before = [watching, displayed];
    watching = !document.hidden && [...views.values()].includes(true);
    displayed = views.size > 0;
    if (watching !== before[0] || displayed !== before[1]) announce();
  };
  const receive = async ({ chronoflux: frame }, buffers) => {
    if (frame?.port !== name) return;
    heard = performance.now();
    // ipycanvas has put this frame's commands behind `currentProcessing` just before. One command that
    // fails (say, on a canvas this page does not know yet) would block that chain for good: mend it.
    manager.currentProcessing = manager.currentProcessing.catch((error) => console.warn(error));
    const drawn = manager.currentProcessing;
    paint(field, scratch, frame, buffers.at(-2), buffers.at(-1));
    await drawn;
    requestAnimationFrame(() => model.send({ shown: frame.number, client }));
  };

  ports.set(name, {
    show(el, visible) {
      views.set(el, visible);
      look();
    },
    remove(el) {
      views.delete(el);
      look();
    },
  });
  manager.on("msg:custom", receive);
  document.addEventListener("visibilitychange", look);
  const beat = setInterval(() => watching && performance.now() - heard > QUIET && announce(), QUIET / 3);
  return () => {
    clearInterval(beat);
    document.removeEventListener("visibilitychange", look);
    manager.off("msg:custom", receive);
    ports.delete(name);
  };
}

function render({ model, el }) {
  const port = ports.get(model.get("port"));
  const observer = new IntersectionObserver((entries) => port.show(el, entries.at(-1).isIntersecting));
  observer.observe(el);
  el.addEventListener("click", (event) => {
    const box = el.getBoundingClientRect();
    model.send({ click: [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height] });
  });
  return () => {
    observer.disconnect();
    port.remove(el);
  };
}

export default { initialize, render };
