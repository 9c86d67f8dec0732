() => document.getElementById('DRAWER').dispatchEvent(new Event('drawer-open'))
