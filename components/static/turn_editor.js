// Editor of a conversation's turns: adds and removes them, and sends them when they are saved.
function turns() {
  return [...element.querySelectorAll('.te-turns .te-turn')].map(turn => {
    const role = turn.querySelector('select').value, content = turn.querySelector('textarea').value;
    const trained = role !== 'assistant' || turn.querySelector('input').checked;
    return trained ? {role, content} : {role, content, loss: false};
  });
}
function number() {
  element.querySelectorAll('.te-turns .te-turn').forEach((turn, index) => {
    turn.querySelector('select').setAttribute('aria-label', `Role of turn ${index + 1}`);
    turn.querySelector('textarea').setAttribute('aria-label', `Text of turn ${index + 1}`);
    turn.querySelector('.te-remove').setAttribute('aria-label', `Remove turn ${index + 1}`);
  });
}
function add() {
  const list = element.querySelector('.te-turns'), last = list.querySelector('.te-turn:last-child select')?.value;
  list.append(element.querySelector('template').content.cloneNode(true));
  const turn = list.querySelector('.te-turn:last-child');
  // A question is usually followed by an answer.
  turn.querySelector('select').value = last === 'user' ? 'assistant' : 'user';
  number();
  turn.querySelector('textarea').focus();
}
element.addEventListener('click', event => {
  const at = event.target;
  if (at.matches('.te-add')) add();
  else if (at.matches('.te-cancel')) trigger('cancel_turns', {});
  else if (at.matches('.te-save'))
    trigger('save_turns', {value: {row: element.querySelector('.te').dataset.row, turns: turns()}});
  else if (at.matches('.te-remove')) {
    const turn = at.closest('.te-turn'), next = turn.nextElementSibling || turn.previousElementSibling;
    turn.remove();
    number();
    (next?.querySelector('textarea') || element.querySelector('.te-add')).focus();
  }
});
element.addEventListener('keydown', event => {
  if (event.key === 'Escape') trigger('cancel_turns', {});
});
