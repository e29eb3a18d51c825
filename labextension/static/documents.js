// A file as a document of JupyterLab whose content is not loaded: its viewer asks the server for what it shows.
//
//   register(app) of viewer(shared, { name, label, extensions, open }):  open(root, path) fills an element and returns
//   what ends that; it is called again, with an empty element, when the file on disk has changed and is reverted to.

import { h } from "./common.js";

async function viewer(shared, { name, label, extensions, open }) {
  const { ABCWidgetFactory, DocumentModel, DocumentWidget } = await shared("@jupyterlab/docregistry");
  const { Widget } = await shared("@lumino/widgets");

  class Factory extends ABCWidgetFactory {
    createNewWidget(context) {
      const content = new Widget();
      content.addClass("cryoedu-viewer");
      let end = () => {};
      const draw = () => {
        end();
        const root = h("div", { class: "cryoedu", role: "region", "aria-label": `${label}: ${context.path}` });
        content.node.replaceChildren(root);
        end = open(root, context.path);
      };
      context.ready.then(() => {
        if (content.isDisposed) return;
        let read = context.contentsModel?.last_modified;
        draw();
        context.fileChanged.connect((_, file) => {
          if (file.last_modified === read || content.isDisposed) return;
          read = file.last_modified;
          draw();
        });
      });
      content.disposed.connect(() => end());
      return new DocumentWidget({ content, context });
    }
  }

  const model = {  // fileFormat null: JupyterLab asks for the file's name and date, and not for what is in it
    name: `cryoedu-${name}`, contentType: "file", fileFormat: null, collaborative: false, isDisposed: false,
    dispose: () => {}, preferredLanguage: () => "", createNew: () => new DocumentModel(),
  };

  return (app) => {
    app.docRegistry.addFileType({ name: `cryoedu-${name}`, displayName: label, extensions, contentType: "file",
      fileFormat: "base64" });
    app.docRegistry.addModelFactory(model);
    app.docRegistry.addWidgetFactory(new Factory({ name: label, modelName: model.name, readOnly: true,
      fileTypes: [`cryoedu-${name}`], defaultFor: [`cryoedu-${name}`] }));
  };
}

export { viewer };
