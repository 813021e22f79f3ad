PS1='deb# '
export PAGER=cat
