// Writes growing answers into the cards of a board that the server has rendered once.
//
// While a turn with data-live is shown, LIVE_PATH of this server is read a few times per second:
//   request  ?known={"KEY": CHARACTERS, ...}   how much of each card's text is here already
//            header X-Live: the value of data-live, which stays out of addresses because addresses are logged.
//            It differs for every set of answers, so that no text of earlier answers is taken for a part of new ones.
//   answer   {wait: SECONDS, cards: [{key, at, text, facts, wait}, ...]}; 204 once nothing is written any more
// From its character `at` on, a card's text is `text`; `wait` says what a card without a text waits for. Characters are
// counted as Python does: by code points.
const texts = new Map();
let isReading = false;

// Append where the shown text is the beginning of the new one, so that the browser lays out only what is new.
function show(box, text) {
  const node = box.firstChild;
  const grows = node && !node.nextSibling && node.nodeType === Node.TEXT_NODE && text.startsWith(node.data);
  if (!grows) box.textContent = text;
  else if (text.length > node.data.length) node.appendData(text.slice(node.data.length));
}

function write({key, at, text, facts, wait}) {
  const whole = [...(texts.get(key) || '')].slice(0, at).join('') + text;
  texts.set(key, whole);
  // A turn that was rendered again after its end is complete. Without text, a card shows its placeholder.
  const card = element.querySelector(`[data-live] [data-card="${key}"]`);
  if (!card) return;
  const waiting = card.querySelector('.lb-wait');
  if (waiting && wait) show(waiting, wait);
  if (!whole || waiting) return;
  show(card.querySelector('.lb-text'), whole);
  const under = card.querySelector('.lb-under');
  if (under && facts) show(under, facts);
}

async function readOnce(live) {
  const known = JSON.stringify(Object.fromEntries([...texts].map(([key, text]) => [key, [...text].length])));
  const root = (window.gradio_config || {}).root || '';
  const answer = await fetch(`${root}LIVE_PATH?known=${encodeURIComponent(known)}`, {headers: {'X-Live': live}});
  if (answer.status !== 200) return null;
  const {wait, cards} = await answer.json();
  cards.forEach(write);
  return wait;
}

// One loop for the board. It ends with the answers; the next turn that is rendered with data-live starts another.
async function readWhileLive() {
  if (isReading) return;
  isReading = true;
  let live = '';
  try {
    for (let turn = element.querySelector('[data-live]'); turn; turn = element.querySelector('[data-live]')) {
      if (live !== turn.dataset.live) texts.clear();
      live = turn.dataset.live;
      // A hidden page is not seen, and a closed connection is tried again.
      const wait = document.hidden ? 1 : await readOnce(live).catch(() => 1);
      // After 204 the page's event brings the complete turn, which ends the loop; in case it does not come, look again
      // in a second.
      await new Promise(resume => setTimeout(resume, 1000 * (wait || 1)));
    }
  } finally { isReading = false; }
}
new MutationObserver(() => { if (element.querySelector('[data-live]')) readWhileLive(); })
  .observe(element, {childList: true, subtree: true});
