// What a page keeps in the browser. A browser may forbid storage, then every access throws, or it may be full: nothing is
// kept then, and the page works all the same. Not a behaviour itself.
//   import { session, local } from "./storage.js";
//   local.set("tab:assign", "tab-score"); local.get("tab:assign"); local.remove("tab:assign"); local.keys("tab:");

function keep(open) {
  const attempt = (act, otherwise) => {
    try {
      return act(open());
    } catch {
      return otherwise;
    }
  };
  return {
    get: (name) => attempt((area) => area.getItem(name), null),
    /** True if it is kept. */
    set: (name, value) => attempt((area) => (area.setItem(name, value), true), false),
    remove: (name) => attempt((area) => area.removeItem(name), undefined),
    keys: (prefix = "") => attempt((area) => Object.keys(area).filter((name) => name.startsWith(prefix)), []),
  };
}

/** Gone when the tab is closed. */
export const session = keep(() => window.sessionStorage);
/** Stays, for all tabs. */
export const local = keep(() => window.localStorage);
