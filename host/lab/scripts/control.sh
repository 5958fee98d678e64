# machine: mem=1024 dom0=512 smp=1 seconds=1800
# What dom0 may ask of a guest that no command of xl's asks; the guest ends half taken apart, and nothing of it is left.
config plain
step create create plain -p
step answers control "$(xl domid plain)"
step list xl list
step destroy xl destroy plain
step gone gone plain
step audit audited
