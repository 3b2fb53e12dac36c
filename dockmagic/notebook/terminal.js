// A cell's terminal. The kernel puts xterm.js before this: `xterm` and `fitAddon` are what its files export.
//
// Messages to the kernel: ready {view, rows, cols}, in {data} with bytes as a buffer, size {rows, cols}.
// Messages from the kernel: replay {view} with what was written before this view came, out with bytes.

const encoder = new TextEncoder();

function bytes(buffer) {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

function render({ model, el }) {
  const view = Math.random().toString(36).slice(2);
  const box = document.createElement("div");
  box.style.cssText = "height:24em;padding:6px;background:#1e1e1e;border-radius:3px;overflow:hidden;resize:vertical";
  box.dataset.lmSuppressShortcuts = "true"; // keys are the terminal's, not JupyterLab's
  box.title = "Terminal: Shift-Escape leaves it";
  el.appendChild(box);

  const terminal = new xterm.Terminal({
    cursorBlink: true,
    fontSize: 13,
    fontFamily: "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace",
    scrollback: 5000,
    screenReaderMode: true,
    theme: { background: "#1e1e1e", foreground: "#e0e0e0" },
  });
  const fit = new fitAddon.FitAddon();
  terminal.loadAddon(fit);
  let opened = false;
  let replayed = false;

  const send = (data) => model.send({ type: "in" }, undefined, [data.buffer]);
  terminal.onData((text) => send(encoder.encode(text)));
  terminal.onBinary((text) => send(Uint8Array.from(text, (c) => c.charCodeAt(0))));
  terminal.onResize(({ rows, cols }) => model.send({ type: "size", rows, cols }));
  terminal.attachCustomKeyEventHandler((event) => {
    if (event.key !== "Escape" || !event.shiftKey) return true;
    terminal.blur();
    return false;
  });
  for (const name of ["keydown", "keypress", "keyup", "paste"]) {
    box.addEventListener(name, (event) => event.stopPropagation());
  }

  const receive = (message, buffers) => {
    if (message.type === "replay" && message.view === view && !replayed) {
      replayed = true;
      terminal.write(bytes(buffers[0]));
    } else if (message.type === "out" && replayed) {
      terminal.write(bytes(buffers[0]));
    }
  };
  model.on("msg:custom", receive);

  // What is sent before the frontend has its subshell waits for the end of the cell: say it again until it is heard.
  let timer = null;
  const report = () => {
    if (replayed) return;
    model.send({ type: "ready", view, rows: terminal.rows, cols: terminal.cols });
    timer = setTimeout(report, 500);
  };

  // The element gets its size when it is put into the page, which is after this function.
  const observer = new ResizeObserver(() => {
    if (!box.clientWidth) return;
    if (!opened) {
      opened = true;
      terminal.open(box);
      fit.fit();
      terminal.focus();
      report();
    } else {
      fit.fit();
    }
  });
  observer.observe(box);

  return () => {
    clearTimeout(timer);
    observer.disconnect();
    model.off("msg:custom", receive);
    terminal.dispose();
  };
}

export default { render };
