PS1='deb# '
export LC_ALL=C.UTF-8 PAGER=cat
