() => {
  document.getElementById('DRAWER').dispatchEvent(new Event('drawer-open'));
  document.getElementById('why-part').scrollIntoView({block: 'start'});
}
