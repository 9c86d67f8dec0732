// Marks the fields of a form that have an error.
//
// value: {fields: [{name, element, text}], level: "problem" | "warning", focus, at}
// A sentence that is added has the id of the field's element, with "-error" appended.

const WAIT_MS = 3000;
const marked = new Map();

function unmark(name) {
  const mark = marked.get(name);
  if (!mark) return;
  marked.delete(name);
  mark.abort.abort();
  mark.note.remove();
  mark.block.classList.remove('qs-invalid', 'qs-doubtful');
  for (const input of mark.inputs) {
    input.removeAttribute('aria-invalid');
    input.removeAttribute('aria-describedby');
  }
}

function mark(block, {name, element: id, text}, level) {
  unmark(name);
  const note = document.createElement('p');
  note.id = `${id}-error`;
  note.className = 'qs-field-error';
  note.setAttribute('role', 'alert');
  note.textContent = text;
  block.append(note);
  block.classList.add(level === 'warning' ? 'qs-doubtful' : 'qs-invalid');
  const inputs = [...block.querySelectorAll('input, textarea')];
  for (const input of inputs) {
    if (level !== 'warning') input.setAttribute('aria-invalid', 'true');
    input.setAttribute('aria-describedby', note.id);
  }
  const abort = new AbortController();
  for (const kind of ['input', 'change'])
    block.addEventListener(kind, () => unmark(name), {signal: abort.signal});
  marked.set(name, {block, note, inputs, abort});
}

const shown = id => {
  const block = document.getElementById(id);
  return block && block.getClientRects().length ? block : null;
};

function focusOn(block) {
  const input = block.querySelector('input, textarea');
  block.scrollIntoView({block: 'center'});
  if (input) input.focus({preventScroll: true});
}

async function show({fields, level, focus, at}) {
  for (const name of [...marked.keys()]) unmark(name);
  const until = performance.now() + WAIT_MS;
  let waiting = fields;
  let first = focus ? fields[0] : null;
  // The server opens closed groups at the same time; their fields appear some frames later.
  while (waiting.length && performance.now() < until && props.value.at === at) {
    waiting = waiting.filter(field => {
      const block = shown(field.element);
      if (!block) return true;
      mark(block, field, level);
      if (field === first) { first = null; focusOn(block); }
      return false;
    });
    if (waiting.length) await new Promise(resolve => setTimeout(resolve, 50));
  }
}

// Without the focus, marks come and go where they are in sight, and the page does not move.
function keep({fields, level}) {
  const names = new Set(fields.map(field => field.name));
  for (const name of [...marked.keys()]) if (!names.has(name)) unmark(name);
  for (const field of fields) {
    // A sentence may name the value of another field, which has changed.
    const isMarked = marked.get(field.name)?.note.textContent === field.text;
    const block = isMarked ? null : shown(field.element);
    if (block) mark(block, field, level);
  }
}

watch('value', () => props.value.focus || !props.value.fields.length ? show(props.value) : keep(props.value));
