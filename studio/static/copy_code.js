// Copies the code below the pressed button.
element.addEventListener('click', async event => {
  const button = event.target.closest('.ex-copy');
  if (!button) return;
  await navigator.clipboard.writeText(element.querySelector('pre').textContent);
  button.textContent = 'Copied';
  setTimeout(() => { button.textContent = 'Copy'; }, 1200);
});
