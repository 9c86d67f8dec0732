// Keeps in data-begun of the document the ids of the buttons whose calls are under way, each from its click until the
// calls end that follow from it: those that Gradio chains to a call, and those of the change of a part that a call has
// filled. `studio/none_yet.py` hides by it what such a click makes false. busy.js reports the calls.
(() => {
  // Until a call must have followed from the click or from the call before.
  const CHAIN_MS = 1000;
  // By the id of a button: `calls` that are under way, and all `functions` and `outputs` of its calls so far.
  const chains = new Map();

  function write() {
    const ids = [...chains.keys()].join(' ');
    const root = document.documentElement;
    if (ids !== (root.dataset.begun || '')) root.dataset.begun = ids;
  }

  function release(id) {
    setTimeout(() => {
      const chain = chains.get(id);
      if (chain && !chain.calls.size && performance.now() - chain.since >= CHAIN_MS) chains.delete(id);
      write();
    }, CHAIN_MS + 5);
  }

  function begin(id) {
    chains.set(id, chains.get(id) || {calls: new Set(), functions: new Set(), outputs: new Set()});
    chains.get(id).since = performance.now();
    write();
    release(id);
  }

  window.addEventListener('click', ({target}) => {
    const button = target instanceof Element && target.closest('button[id]');
    if (button && !button.disabled) begin(button.id);
  }, true);

  function follows(chain, {trigger_after: before, targets}) {
    return chain.functions.has(before) || targets.some(([part]) => chain.outputs.has(part));
  }

  function join(chain, call) {
    chain.calls.add(call);
    chain.functions.add(call.dependency.id);
    for (const part of call.dependency.outputs) chain.outputs.add(part);
  }

  window.addEventListener('studio-call-begins', ({detail: {call, element}}) => {
    const id = element?.closest?.('button[id]')?.id;
    for (const [button, chain] of chains) {
      if (button === id || follows(chain, call.dependency)) join(chain, call);
    }
  });

  window.addEventListener('studio-call-ends', ({detail: {call, others}}) => {
    for (const [id, chain] of chains) {
      if (!chain.calls.delete(call)) continue;
      chain.since = performance.now();
      // Gradio repeats a call whose part was filled while it was under way.
      for (const other of others) if (follows(chain, other.dependency)) join(chain, other);
      release(id);
    }
  });
})();
