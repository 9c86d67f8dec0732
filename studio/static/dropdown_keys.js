// Drop-downs open when a person asks for the list: by a click, by typing, or by Enter or an arrow key.
//
// Those of Gradio 6.31 open whenever they get the focus, and read each key a moment after it was pressed: the key Tab
// moves the focus on, which closes the list, and is read afterwards, which opens it again with nothing to close it.
// Here the focus reaches a drop-down only with a click or together with a key that opens it, and keys that are not
// for its list do not reach it.
(() => {
  const OPENING = ['Enter', 'ArrowDown', 'ArrowUp'];
  const ELSEWHERE = ['Tab', 'Shift', 'Control', 'Alt', 'AltGraph', 'Meta', 'CapsLock'];
  const IN_THE_TEXT = ['ArrowLeft', 'ArrowRight', 'Home', 'End'];
  // Whether the person last used a pointer; the drop-down that has the focus and was not notified of it; whether `open`
  // is notifying one now.
  let isPointing = false, withheld = null, isOpening = false;

  const combobox = event => event.target instanceof Element && event.target.matches('input[role="combobox"]') && event.target;
  const isOpen = input => input.getAttribute('aria-expanded') === 'true';

  function open(input) {
    withheld = null;
    isOpening = true;
    input.dispatchEvent(new FocusEvent('focus'));
    isOpening = false;
  }

  window.addEventListener('pointerdown', () => { isPointing = true; }, true);
  // Sent by a script of the page before it gives a control the focus.
  window.addEventListener('qs-focus', () => { isPointing = false; });

  window.addEventListener('focus', event => {
    const input = combobox(event);
    if (!input || isOpening || isPointing) return;
    withheld = input;
    event.stopPropagation();
  }, true);

  window.addEventListener('click', event => {
    const input = combobox(event);
    if (input && input === document.activeElement && !input.disabled && !isOpen(input)) open(input);
  }, true);

  // The text is the person's own only once the drop-down has the focus; until then it shows the chosen value.
  window.addEventListener('input', event => {
    const input = combobox(event);
    if (input && input === withheld) open(input);
  }, true);

  window.addEventListener('keydown', event => {
    isPointing = false;
    const input = combobox(event);
    if (!input || event.isComposing) return;
    const opens = OPENING.includes(event.key) || (input.readOnly && event.key === ' ');
    if (!isOpen(input) && opens) {
      open(input);
      event.preventDefault();
      event.stopPropagation();
    } else if (ELSEWHERE.includes(event.key) || event.ctrlKey || event.metaKey || event.altKey
               || (!isOpen(input) && IN_THE_TEXT.includes(event.key))) {
      event.stopPropagation();
    }
  }, true);

  // The last letter may be read after the focus has moved on.
  window.addEventListener('blur', event => {
    const input = event.isTrusted && combobox(event);
    if (!input) return;
    if (input === withheld) {
      withheld = null;
      event.stopPropagation();
      return;
    }
    setTimeout(() => {
      if (input !== document.activeElement && isOpen(input)) input.dispatchEvent(new FocusEvent('blur'));
    }, 100);
  }, true);
})();
