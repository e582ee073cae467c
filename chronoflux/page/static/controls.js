/**
 * The drawer's controls for parameters and presets, made from the server's tables.
 */

/** @typedef {{name: string, default: any, whole: boolean, unit: string, doc: string, low: number | null, high: number | null, slider: [number, number] | null, reset: boolean, choices: string[]}} Parameter */

/** Parameters that a preset does not change. */
const KEPT = ["world", "dt"];
/** Parameters without a control. */
const HIDDEN = ["world", "dt"];

export class Controls {
  /**
   * @param {HTMLElement} place @param {HTMLSelectElement} menu @param {HTMLElement} about
   * @param {{parameters: Parameter[], presets: {name: string, about: string, params: Record<string, any>}[]}} tables
   * @param {(changes: Record<string, any>) => void} onChange
   */
  constructor(place, menu, about, tables, onChange) {
    this._tables = tables;
    this._about = about;
    this._menu = menu;
    this._onChange = onChange;
    /** @type {Map<string, {show: (value: any) => void}>} */
    this._fields = new Map();
    menu.append(option("", "–"), ...tables.presets.map(({ name }) => option(name, name)));
    menu.onchange = () => this._choose(menu.value);
    const more = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = "More parameters";
    more.append(summary);
    for (const parameter of tables.parameters) {
      if (!HIDDEN.includes(parameter.name)) (parameter.slider ? place : more).append(this._field(parameter));
    }
    place.append(more);
  }

  /** Show these parameters. @param {Record<string, any>} params */
  show(params) {
    for (const [name, field] of this._fields) field.show(params[name]);
    const preset = this._tables.presets.find(({ params: own }) =>
      Object.entries(own).every(([name, value]) => KEPT.includes(name) || String(params[name]) === String(value)),
    );
    this._menu.value = preset?.name ?? "";
    this._about.textContent = preset?.about ?? "";
  }

  _choose(/** @type {string} */ name) {
    const preset = this._tables.presets.find((one) => one.name === name);
    if (!preset) return;
    this._onChange(Object.fromEntries(Object.entries(preset.params).filter(([key]) => !KEPT.includes(key))));
  }

  /** @returns {HTMLElement} */
  _field(/** @type {Parameter} */ parameter) {
    const { name, unit, doc, slider, choices } = parameter;
    const box = document.createElement("div");
    box.className = "parameter";
    const label = document.createElement("label");
    const id = `parameter-${name}`;
    label.htmlFor = id;
    label.textContent = `${name}${unit ? ` (${unit})` : ""}`;
    const help = document.createElement("small");
    help.className = "soft";
    help.id = `${id}-help`;
    help.textContent = doc;
    const error = document.createElement("small");
    error.className = "error";
    error.setAttribute("role", "alert");
    const input = choices.length ? document.createElement("select") : document.createElement("input");
    input.id = id;
    input.setAttribute("aria-describedby", help.id);
    if (input instanceof HTMLSelectElement) input.append(...choices.map((choice) => option(choice, choice)));
    else {
      input.type = "number";
      input.step = parameter.whole ? "1" : "any";
      input.inputMode = "decimal";
    }
    box.append(label, input, help, error);
    /** @type {HTMLInputElement | null} */
    let range = null;
    if (slider) {
      range = document.createElement("input");
      range.type = "range";
      [range.min, range.max] = slider.map(String);
      range.step = parameter.whole ? "1" : "0.01";
      range.setAttribute("aria-label", `${name}, slider`);
      range.oninput = () => set(/** @type {HTMLInputElement} */ (range).value);
      box.append(range);
    }
    const set = (/** @type {string} */ text) => {
      const value = choices.length ? text : Number(text);
      error.textContent = choices.length ? "" : problem(parameter, text);
      if (error.textContent) return;
      try {
        this._onChange({ [name]: value });
      } catch (failure) {
        error.textContent = failure instanceof Error ? failure.message : String(failure);
      }
    };
    input.onchange = () => set(input.value);
    this._fields.set(name, {
      show: (value) => {
        if (document.activeElement !== input) input.value = String(value);
        if (range && document.activeElement !== range) range.value = String(value);
      },
    });
    return box;
  }
}

/** Why a value is not allowed; empty if it is. @param {Parameter} parameter @param {string} text */
function problem({ whole, low, high, unit }, text) {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) return "Give a number.";
  if (whole && !Number.isInteger(value)) return "Give a whole number.";
  const bounds = `from ${low ?? "−∞"} to ${high ?? "∞"}${unit ? ` ${unit}` : ""}`;
  return value < (low ?? -Infinity) || value > (high ?? Infinity) ? `Allowed is ${bounds}.` : "";
}

/** @param {string} value @param {string} text */
function option(value, text) {
  const element = document.createElement("option");
  element.value = value;
  element.textContent = text;
  return element;
}
