// The viewer of MRC files: stacks, images and maps.

import { h } from "./common.js";
import { viewer } from "./documents.js";
import { server } from "./parts.js";

const EXTENSIONS = [".mrc", ".mrcs", ".map"].flatMap((name) => [name, `${name}.gz`, `${name}.bz2`]);

export default async function plugin(shared) {
  let ask = null;
  const register = await viewer(shared, { name: "mrc", label: "Cryo-EM images", extensions: EXTENSIONS,
    open: (node, context) => {
      const root = h("div", { class: "cryoedu", role: "region", "aria-label": context.path });
      node.append(root);
      context.ready.then(async () => {
        const header = await (await ask("mrc", { query: { path: context.path } })).json();
        root.append(h("p", {}, JSON.stringify(header)));
      }).catch((error) => root.append(h("p", { role: "alert" }, error.message)));
      return () => {};
    } });
  return { id: "cryoedu:mrc", description: "Viewer of MRC files", autoStart: true, activate: (app) => {
    ask = server(shared, app);
    register(app);
  } };
}
