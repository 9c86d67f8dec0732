// Shows at once that an action is worked on: the pressed control and the views that wait for it get aria-busy, and
// data-busy with the seconds (studio/static/theme.css). It needs no answer of the server, so it works for every event.
//
// Calls of Gradio go through fetch: a POST to queue/join names the event and the control that triggered it, and the
// stream queue/data reports the end of each call. A call belongs to an action if the person has acted on its control,
// or shortly before anywhere, or if another call of an action has just ended, as when a button fills a list whose
// change is an event of its own. While a call is under way, Gradio may hold back another one of the same event; the
// control that was used then waits for the first call, even if no action made that one.
(() => {
  const SHOW_AFTER_MS = 250, CHAIN_MS = 1000, OWN_CONTROL_MS = 10000, TAIL_CHARACTERS = 200;
  const PARTS = 'button, [role="button"], a, summary, tr, th, label';
  // A click into these changes nothing.
  const TEXT_FIELDS = 'textarea, input:not([type="checkbox"], [type="radio"], [type="range"])';
  // Events that no person triggers.
  const OWN_EVENTS = new Set(['tick', 'load', 'unload']);
  // After these, no more messages come for any call.
  const LAST = /"msg":\s*"(close_stream|unexpected_error|server_stopped)"/;
  const MESSAGE = /"msg":\s*"process_(generating|completed)",\s*"event_id":\s*"(\w+)"/g;
  // By itself until the answer to its POST is read, then by its id.
  const calls = new Map();
  // Ids of calls that ended before the answer to their POST had been read.
  const ended = new Set();
  let actor = null, acted = -Infinity, clock = 0;

  for (const name of ['click', 'keydown', 'input', 'change', 'drop']) {
    window.addEventListener(name, event => {
      acted = performance.now();
      actor = event.target;
      if (changesValue(event)) waitForHeldBack();
    }, true);
  }

  function changesValue({type, target, key}) {
    if (type === 'keydown') return key === 'Enter' || key === ' ';
    return type !== 'click' || !target.matches?.(TEXT_FIELDS);
  }

  const config = () => window.gradio_config || {components: [], dependencies: []};
  function find(id) {
    const component = config().components.find(one => one.id === id);
    return component && document.getElementById(component.props.elem_id || `component-${id}`);
  }

  const isUsed = control => control && actor instanceof Element && control.contains(actor);

  // Return the part of a control that was pressed, such as one column of a table, or else all of it.
  function pressed(control) {
    const part = isUsed(control) && actor.closest(PARTS);
    return part && control.contains(part) ? part : control;
  }

  // Let a part show from now on that it waits for a call.
  function mark(call, part) {
    if (!part || call.since.has(part)) return;
    call.isAction = true;
    call.since.set(part, performance.now());
    // A little later, since timers may be early by a part of a millisecond.
    setTimeout(show, SHOW_AFTER_MS + 5);
  }

  function waitForHeldBack() {
    for (const call of new Set(calls.values())) {
      if (call.dependency.trigger_mode === 'multiple') continue;
      const control = call.dependency.targets.map(([id]) => find(id)).find(isUsed);
      if (control) mark(call, pressed(control));
    }
  }

  function begin({fn_index, trigger_id}) {
    const dependency = config().dependencies.find(one => one.id === fn_index);
    const isOwn = dependency?.targets.some(([id, event]) => id === trigger_id && OWN_EVENTS.has(event));
    if (!dependency || isOwn) return null;
    const views = config().components.filter(one => one.type === 'html' && dependency.outputs.includes(one.id));
    // `since` has the time from which each part waits.
    const call = {dependency, views: views.map(one => find(one.id)), since: new Map(), isAction: false};
    calls.set(call, call);
    const control = find(trigger_id);
    report('begins', {call, element: control});
    if (performance.now() - acted <= (isUsed(control) ? OWN_CONTROL_MS : CHAIN_MS)) {
      call.isAction = true;
      for (const part of [pressed(control), ...call.views]) mark(call, part);
    }
    return call;
  }

  function end(key) {
    const call = calls.get(key);
    if (!call) return;
    for (const [other, one] of calls) if (one === call) calls.delete(other);
    if (call.isAction) acted = performance.now();
    report('ends', {call, others: new Set(calls.values())});
    show();
  }

  // For begun.js.
  const report = (what, detail) => window.dispatchEvent(new CustomEvent(`studio-call-${what}`, {detail}));

  // A view that has a first part of its answer shows by itself how far it is; one of the class qs-shows-waits does so
  // until the end, and then the control that was pressed has nothing to add.
  function showFirstPart(key) {
    const call = calls.get(key);
    if (!call) return;
    if (call.views.some(view => view?.classList.contains('qs-shows-waits'))) call.since.clear();
    for (const view of call.views) call.since.delete(view);
    show();
  }

  function show() {
    const seconds = new Map(), now = performance.now();
    for (const call of new Set(calls.values())) {
      for (const [part, since] of call.since) {
        if (now - since >= SHOW_AFTER_MS) seconds.set(part, Math.floor((now - since) / 1000));
      }
    }
    for (const part of document.querySelectorAll('[data-busy]')) {
      if (!seconds.has(part)) for (const name of ['aria-busy', 'data-busy']) part.removeAttribute(name);
    }
    for (const [part, since] of seconds) {
      if (part.dataset.busy !== String(since)) part.dataset.busy = since;
      if (!part.hasAttribute('aria-busy')) part.setAttribute('aria-busy', 'true');
    }
    clearTimeout(clock);
    if (calls.size) clock = setTimeout(show, 1000);
  }

  const send = window.fetch.bind(window);

  async function join(resource, options) {
    const call = begin(JSON.parse(options.body));
    if (!call) return send(resource, options);
    try {
      const answer = await send(resource, options);
      if (!answer.ok) end(call);
      else answer.clone().json().then(({event_id: id}) => {
        calls.set(id, call);
        if (ended.delete(id)) end(id);
      }, () => end(call));
      return answer;
    } catch (error) {
      end(call);
      throw error;
    }
  }

  async function read(resource, options) {
    const answer = await send(resource, options);
    if (!answer.body) return answer;
    const decoder = new TextDecoder();
    let tail = '';
    const watch = new TransformStream({
      transform(chunk, controller) {
        controller.enqueue(chunk);
        const text = tail + decoder.decode(chunk, {stream: true});
        for (const [, part, id] of text.matchAll(MESSAGE)) {
          if (part === 'generating') showFirstPart(id);
          else if (calls.has(id)) end(id);
          else ended.add(id);
        }
        if (LAST.test(text)) for (const key of [...calls.keys()]) if (typeof key === 'string') end(key);
        tail = text.slice(-TAIL_CHARACTERS);
      },
    });
    return new Response(answer.body.pipeThrough(watch), answer);
  }

  window.fetch = (resource, options) => {
    const address = String(resource?.url || resource);
    if (/\/queue\/join(\?|$)/.test(address) && typeof options?.body === 'string') return join(resource, options);
    if (/\/queue\/data\?/.test(address)) return read(resource, options);
    return send(resource, options);
  };
})();
