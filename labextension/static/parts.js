// What the plugins share beside the widgets' toolkit (common.js, plots.js): asking the server.
//
//   const ask = server(shared, app);
//   await (await ask("mrc/header", { query: { path } })).json()        an Error has the server's sentence as its message
//   await ask("runs/stop", { method: "POST", body: { path } })

async function refused(answer) {  // what the server said, or else what the number means
  const words = await answer.json().then((said) => said.message, () => null);
  return new Error(words || `the server answered ${answer.status} ${answer.statusText}`);
}

function server(shared, app) {
  const settings = app.serviceManager.serverSettings;
  return async (address, { query = {}, method = "GET", body = null, signal = null } = {}) => {
    const { ServerConnection } = await shared("@jupyterlab/services");
    const url = new URL(`cryoedu/${address}`, settings.baseUrl);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const init = { method, ...(body && { body: JSON.stringify(body) }), ...(signal && { signal }) };
    const answer = await ServerConnection.makeRequest(url.href, init, settings);
    if (!answer.ok) throw await refused(answer);
    return answer;
  };
}

export { server };
