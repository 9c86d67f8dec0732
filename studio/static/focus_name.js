() => requestAnimationFrame(() => {
  const name = document.querySelector('#run-name :is(input, textarea)');
  if (name) { name.focus(); name.select(); }
})
