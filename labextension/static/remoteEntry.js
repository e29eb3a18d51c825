// The container through which JupyterLab takes in the plugins: the interface that webpack documents for module
// federation, { init(shareScope), get(module) }, written by hand, so that nothing has to be built. The plugins are ES
// modules beside this file; each one's default export is an async function of `shared` that returns a plugin.
// JupyterLab's own packages come from `shared("@jupyterlab/…")`, or null if this application has no such package.

(() => {
  const here = document.currentScript.src;
  const PLUGINS = ["./mrc.js", "./star.js", "./course.js", "./runs.js"];
  let scope = {};

  const order = (version) => version.split(/[.+-]/).map((part) => Number(part) || 0);

  function newer(a, b) {  // JupyterLab has one version of each; if an extension brings another, the newer one
    const [p, q] = [order(a), order(b)], at = p.findIndex((part, i) => part !== q[i]);
    return at < 0 ? 0 : q[at] - p[at];
  }

  async function shared(name) {
    const versions = Object.entries(scope[name] ?? {}).sort(([a], [b]) => newer(a, b));
    const chosen = versions.find(([, entry]) => entry.loaded) ?? versions[0];
    return chosen ? (await chosen[1].get())() : null;
  }

  async function plugins() {
    const modules = await Promise.all(PLUGINS.map((name) => import(new URL(name, here))));
    return Promise.all(modules.map((module) => module.default(shared)));
  }

  function style() {
    for (const name of ["./common.css", "./style.css"]) {
      const link = document.createElement("link");
      [link.rel, link.href] = ["stylesheet", new URL(name, here)];
      document.head.append(link);
    }
  }

  const parts = {
    "./extension": async () => { const made = await plugins(); return () => ({ __esModule: true, default: made }); },
    "./style": async () => { style(); return () => ({}); },
  };

  (window._JUPYTERLAB ??= {}).cryoedu = {
    init: (shareScope) => { scope = shareScope; },
    get: (part) => parts[part](),
  };
})();
