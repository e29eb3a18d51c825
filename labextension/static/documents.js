// A file as a document of JupyterLab whose content is not loaded: its viewer asks the server for what it shows.
//
//   register(app) of viewer(shared, { name, label, extensions, open }):  open(root, path) fills an element and returns
//   what ends that; it is called again, with an empty element, when the file on disk has changed and is reverted to.

import { h } from "./common.js";

// To JupyterLab a file that is only looked at is read-only. Else it would copy the whole of it into .ipynb_checkpoints as
// soon as it is open, as it does with every document that it may save, however large. (Even to ask which copies there are
// makes that folder.)
function readOnly(context) {
  const own = Object.getPrototypeOf(context);
  const contentsModel = () => {
    const found = Reflect.get(own, "contentsModel", context);
    return found && { ...found, writable: false };
  };
  Object.defineProperties(context, {
    canSave: { value: false, configurable: true },
    contentsModel: { get: contentsModel, configurable: true },
    listCheckpoints: { value: () => Promise.resolve([]), configurable: true },
  });
}

async function viewer(shared, { name, label, extensions, open }) {
  const { ABCWidgetFactory, DocumentModel, DocumentWidget } = await shared("@jupyterlab/docregistry");
  const { Widget } = await shared("@lumino/widgets");

  class Factory extends ABCWidgetFactory {
    createNewWidget(context) {
      readOnly(context);
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
      const widget = new DocumentWidget({ content, context });
      widget.toolbar.hide();  // all that would stand there is "file is read-only", of a file that need not be
      return widget;
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
