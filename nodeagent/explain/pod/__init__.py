"""Why a pod lands on a node or does not: the scheduler's rules, and who writes what it asks for.

The rules are those of kube-scheduler 1.35 with its default plugins; `k8s` in a comment is the
source tree of k8s.io/kubernetes at that version.
"""
