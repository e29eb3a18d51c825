// A file as a document of JupyterLab whose content is not loaded: its viewer asks the server for what it shows.

async function viewer(shared, { id, name, label, extensions, icon, open }) {
  const { ABCWidgetFactory, DocumentModel, DocumentWidget } = await shared("@jupyterlab/docregistry");
  const { Widget } = await shared("@lumino/widgets");

  class Factory extends ABCWidgetFactory {
    createNewWidget(context) {
      const content = new Widget();
      content.addClass("cryoedu-viewer");
      const widget = new DocumentWidget({ content, context });
      const end = open(content.node, context);
      widget.disposed.connect(end);
      return widget;
    }
  }

  const model = {  // fileFormat null: JupyterLab asks for the file's name and date, and not for what is in it
    name: `${name}-model`, contentType: "file", fileFormat: null, collaborative: false, isDisposed: false,
    dispose: () => {}, preferredLanguage: () => "", createNew: () => new DocumentModel(),
  };

  return (app) => {
    app.docRegistry.addFileType({ name, displayName: label, extensions, contentType: "file", fileFormat: "base64", icon });
    app.docRegistry.addModelFactory(model);
    app.docRegistry.addWidgetFactory(new Factory({ name: label, modelName: model.name, fileTypes: [name],
      defaultFor: [name], readOnly: true }));
  };
}

export { viewer };
