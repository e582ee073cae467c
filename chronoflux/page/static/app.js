/**
 * The page: a node in the room that the address names, its picture and its controls.
 */

import { Controls } from "./controls.js";
import { newSecret } from "./identity.js";
import { slug } from "./log.js";
import { PageNode } from "./node.js";
import { isShort } from "./protocol.js";
import { PALETTES } from "./palettes.js";
import { Store } from "./store.js";
import { View } from "./view.js";

const DEFAULT_ROOM = "room1";

/** @template {HTMLElement} T @param {string} id @param {new () => T} kind @returns {T} */
function element(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page lacks its ${id}`);
  return found;
}

const picture = element("picture", HTMLCanvasElement);
const drawer = element("drawer", HTMLElement);
const view = new View(picture);
/** @type {PageNode | null} */
let node = null;
/** @type {Controls | null} */
let controls = null;
let newsTimer = 0;

/** What the tab keeps: its secret and its token; nothing where the browser withholds storage. */
const kept = {
  get: (/** @type {string} */ key) => {
    try {
      return sessionStorage.getItem(key);
    } catch {
      return null;
    }
  },
  set: (/** @type {string} */ key, /** @type {string} */ value) => {
    try {
      sessionStorage.setItem(key, value);
    } catch {
      // The tab has another id after a reload then.
    }
  },
};

/** @param {string} text */
function say(text) {
  clearTimeout(newsTimer);
  element("news", HTMLElement).textContent = text;
  newsTimer = setTimeout(() => (element("news", HTMLElement).textContent = ""), 8000);
}

/** @param {string} text */
function complain(text) {
  const place = element("problem", HTMLElement);
  place.textContent = text;
  place.hidden = text === "";
}

/** The room in the address. */
function roomName() {
  let name = "";
  try {
    name = decodeURIComponent(location.hash.slice(1)).trim();
  } catch {
    complain("The room's name in the address cannot be read; this is the default room.");
  }
  if (name && !isShort(name)) complain("A room's name has at most 64 printable characters; this is the default room.");
  return name && isShort(name) ? name : DEFAULT_ROOM;
}

/** Join the room of the address, with the swarm that this tab had before a reload. @param {any} tables */
async function join(tables) {
  const room = roomName();
  if (node?.room === room) return;
  node?.leave();
  let secret = kept.get("secret") ?? newSecret();
  let store = new Store(secret);
  let before = await store.load();
  if (before && (before.room !== room || (await isTaken(secret)))) {
    secret = newSecret(); // another room is another run; a copy of a tab is another node
    store = new Store(secret);
    before = undefined;
  }
  kept.set("secret", secret);
  answerFor(secret);
  const params = { ...tables.presets[0].params, ...(node?.swarm.params ?? {}) };
  const words = crypto.getRandomValues(new Uint32Array(2));
  node = new PageNode({
    tables,
    url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${location.pathname.replace(/[^/]*$/, "")}`,
    room,
    nodeId: `page-${secret.slice(0, 4)}`,
    secret,
    token: kept.get("token") ?? undefined,
    params,
    seed: (BigInt(words[0] & 0x1fffff) << 32n) | BigInt(words[1]),
    store,
    kept: before,
    onNews: say,
    onChange: show,
  });
  node.listeners.push(show);
  document.title = `${room} · ChronoFlux`;
  element("room-name", HTMLInputElement).value = room;
  node.start();
  show();
  Object.assign(window, { chronoflux: { node, view } });
}

/** @type {BroadcastChannel | null} */
let tabs = null;

/** Say to other tabs of this browser that this one has the secret. @param {string} secret */
function answerFor(secret) {
  tabs?.close();
  tabs = typeof BroadcastChannel === "function" ? new BroadcastChannel(`chronoflux ${secret}`) : null;
  if (tabs) tabs.onmessage = ({ data }) => data === "who?" && tabs?.postMessage("here");
}

/** Whether another tab has a secret: one that was duplicated has it, too. @param {string} secret @returns {Promise<boolean>} */
async function isTaken(secret) {
  if (typeof BroadcastChannel !== "function") return false;
  const channel = new BroadcastChannel(`chronoflux ${secret}`);
  const answered = new Promise((resolve) => {
    channel.onmessage = ({ data }) => data === "here" && resolve(true);
    setTimeout(() => resolve(false), 150);
  });
  channel.postMessage("who?");
  const taken = await answered;
  channel.close();
  return taken;
}

const METRICS = /** @type {const} */ ([
  ["H", "order of this swarm, 0 to 1"],
  ["H_mesh", "order of the whole room"],
  ["H_local", "order of neighbours"],
  ["tau", "turbulence of the field"],
]);

function show() {
  if (!node) return;
  const { state, reason } = node.mesh.client;
  const others = node.peers;
  const linked = others.filter(({ via }) => via === "direct").length;
  const words = {
    connecting: "connecting to the server",
    joined: others.length ? `${others.length} other${others.length > 1 ? "s" : ""}, ${linked} linked` : "nobody else is here",
    waiting: reason,
    refused: reason,
    closed: "left",
  }[state];
  element("room", HTMLElement).textContent = `${node.room}: ${words}`;
  const wantsToken = state === "refused" && /token/.test(reason);
  element("token-form", HTMLFormElement).hidden = !wantsToken && !kept.get("token");
  complain(state === "refused" ? (wantsToken ? "This room asks for a token: give it in the settings." : reason) : "");
  const { metrics } = node;
  element("metrics", HTMLElement).replaceChildren(
    ...METRICS.map(([name, title]) => {
      const row = document.createElement("div");
      const term = document.createElement("dt");
      const value = document.createElement("dd");
      term.textContent = name;
      term.title = title;
      value.textContent = Number.isFinite(metrics[name]) ? metrics[name].toFixed(name === "tau" ? 3 : 2) : "–";
      row.append(term, value);
      return row;
    }),
  );
  drawCurve();
  element("peers", HTMLElement).replaceChildren(
    ...others.slice(0, 32).map(({ name, kind, via, state: how, H, reason: why }) => {
      const item = document.createElement("li");
      const order = Number.isFinite(H) ? `, H ${H.toFixed(2)}` : "";
      item.className = how === "live" ? "live" : "soft";
      item.textContent = `${name} (${kind}): ${via || how}${order}${via === "direct" || !why ? "" : `; ${why}`}`;
      return item;
    }),
  );
  element("pause", HTMLButtonElement).setAttribute("aria-pressed", String(node.paused));
  for (const button of document.querySelectorAll("#events button[data-event=lion_gate]")) {
    button.setAttribute("aria-pressed", String(node.swarm.portal));
  }
  controls?.show(node.swarm.params);
}

/** The last minute of H and H_mesh, second by second; a gap where nothing was measured. */
function drawCurve() {
  const history = node?.history ?? [];
  for (const [id, name] of /** @type {const} */ ([
    ["curve-own", "H"],
    ["curve-room", "H_mesh"],
  ])) {
    const points = history.map((record, i) => `${60 - history.length + 1 + i},${19 - 18 * (record[name] || 0)}`);
    document.getElementById(id)?.setAttribute("points", points.join(" "));
  }
}

/** @param {boolean} open */
function openDrawer(open) {
  drawer.hidden = !open;
  const opener = element("open-drawer", HTMLButtonElement);
  opener.setAttribute("aria-expanded", String(open));
  (open ? element("close-drawer", HTMLButtonElement) : opener).focus();
}

/** @param {Blob} blob @param {string} name */
function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Buttons, keys and taps. @param {any} tables */
function connect(tables) {
  element("events", HTMLElement).append(
    ...tables.events.map((/** @type {any} */ kind) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.event = kind.name;
      button.textContent = kind.label;
      button.onclick = () => node?.fire(kind.name, kind.standing ? { on: !node.swarm.portal } : {});
      return button;
    }),
  );
  element("pause", HTMLButtonElement).onclick = () => node?.pause(!node.paused);
  element("open-drawer", HTMLButtonElement).onclick = () => openDrawer(drawer.hidden);
  element("close-drawer", HTMLButtonElement).onclick = () => openDrawer(false);
  drawer.onkeydown = (event) => {
    if (event.key === "Escape") openDrawer(false);
  };
  picture.onpointerdown = (event) => {
    const place = node && view.place(event.clientX, event.clientY, node.swarm.params.world);
    if (place) node?.fire("intent", place);
  };
  picture.onkeydown = (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    const [W, H] = node?.swarm.params.world ?? [0, 0];
    node?.fire("intent", { x: W / 2, y: H / 2 });
  };
  controls = new Controls(
    element("parameters", HTMLElement),
    element("preset", HTMLSelectElement),
    element("about-preset", HTMLElement),
    tables,
    (changes) => node?.change(changes),
  );
  const palette = element("palette", HTMLSelectElement);
  palette.append(...Object.entries(PALETTES).map(([name, { label }]) => new Option(label, name)));
  palette.value = view.palette = matchMedia("(prefers-color-scheme: light)").matches ? "day" : "vivid";
  palette.onchange = () => (view.palette = palette.value);
  element("room-form", HTMLFormElement).onsubmit = (event) => {
    event.preventDefault();
    location.hash = encodeURIComponent(element("room-name", HTMLInputElement).value.trim());
  };
  element("token-form", HTMLFormElement).onsubmit = (event) => {
    event.preventDefault();
    kept.set("token", element("token", HTMLInputElement).value);
    location.reload();
  };
  element("reset", HTMLButtonElement).onclick = () => node?.reset();
  element("save-picture", HTMLButtonElement).onclick = () => {
    picture.toBlob((blob) => {
      if (blob && node) download(blob, `chronoflux-${slug(node.room)}-${Math.round(node.clock.now())}.png`);
    });
  };
  element("save-log", HTMLButtonElement).onclick = async () => {
    if (!node) return;
    await node.keep();
    download(await node.log.archive(), `${node.log.facts.run}.zip`);
  };
  const full = element("full-screen", HTMLButtonElement);
  full.hidden = !document.fullscreenEnabled;
  full.onclick = () =>
    (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()).catch(() => undefined);
  window.onhashchange = () => join(tables);
  window.addEventListener("pagehide", () => {
    node?.keep();
    node?.leave();
  });
  window.addEventListener("online", () => node?.mesh.client.doubt());
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) node?.mesh.client.doubt();
  });
}

/** Have the node tick, also while the page is hidden. */
function keepTime() {
  const tick = () => node?.tick(document.hidden);
  try {
    const worker = new Worker("timer.js");
    worker.onmessage = tick;
    worker.onerror = () => setInterval(tick, 20);
  } catch {
    setInterval(tick, 20);
  }
  const draw = () => {
    if (node) view.draw(node.swarm);
    requestAnimationFrame(draw);
  };
  requestAnimationFrame(draw);
}

async function begin() {
  let tables;
  try {
    const answer = await fetch("tables.json");
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    tables = await answer.json();
  } catch (error) {
    complain(`The server did not answer (${error instanceof Error ? error.message : error}): load the page again.`);
    return;
  }
  connect(tables);
  await join(tables);
  keepTime();
}

begin();
