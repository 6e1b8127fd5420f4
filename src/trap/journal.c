/* Calls in flight, for the next supervisor; see the header. */
#include "vmsup/trap/journal.h"

#include <string.h>

#include "vmsup/trap/listener.h"

/* Ids follow each other, so that the slot of one is free unless 4096 later ones were received before its answer. */
static size_t home(uint64_t id)
{
	return id % VMS_JOURNAL_SLOTS;
}

bool vms_journal_put(struct vms_journal *journal, const struct vms_trap *trap)
{
	struct vms_journal_slot *slot = NULL;

	for (size_t i = 0; i < VMS_JOURNAL_SLOTS; i++) {
		slot = &journal->slots[(home(trap->id) + i) % VMS_JOURNAL_SLOTS];
		if (!slot->state)
			break;
	}
	if (slot && !slot->state) {
		slot->id = trap->id;
		slot->tid = trap->tid;
		slot->arch = (int32_t)trap->arch;
		slot->nr = trap->nr;
		slot->ip = trap->ip;
		memcpy(slot->args, trap->args, sizeof(slot->args));
		__atomic_store_n(&slot->state, 1, __ATOMIC_RELEASE);
	} else {
		slot = NULL;
	}
	journal->last_id = trap->id;
	journal->has_last_id = 1;
	return slot;
}

void vms_journal_drop(struct vms_journal *journal, uint64_t id)
{
	for (size_t i = 0; i < VMS_JOURNAL_SLOTS; i++) {
		struct vms_journal_slot *slot = &journal->slots[(home(id) + i) % VMS_JOURNAL_SLOTS];

		if (slot->state && slot->id == id) {
			__atomic_store_n(&slot->state, 0, __ATOMIC_RELEASE);
			return;
		}
	}
}

bool vms_journal_get(const struct vms_journal *journal, size_t i, struct vms_trap *ret_trap)
{
	const struct vms_journal_slot *slot = &journal->slots[i];

	if (__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) != 1 || slot->tid <= 0 || slot->tid > INT32_MAX ||
	    (slot->arch != VMS_ARCH_X86_64 && slot->arch != VMS_ARCH_I386))
		return false;
	*ret_trap = (struct vms_trap){ .id = slot->id, .tid = (pid_t)slot->tid, .arch = (enum vms_arch)slot->arch, .nr = slot->nr,
				       .ip = slot->ip };
	memcpy(ret_trap->args, slot->args, sizeof(ret_trap->args));
	return true;
}
