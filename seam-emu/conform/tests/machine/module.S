# A module of this project's own, for the tests of the machine: what a SEAMCALL in RAX asks for, by what means a TDX module
# would do it. It returns RAX = 0, or -1 for a leaf that it does not have.
    .intel_syntax noprefix

# Offsets in the system information table, at FS.
    .set DATA_BASE, 2072
    .set KEYHOLE_BASE, 2104
    .set KEYHOLE_EDIT_BASE, 2120
    .set LEAVES, 9

    .macro seamret
    .byte 0x66, 0x0F, 0x01, 0xCD
    .endm

    .text
    .globl entry
    .type entry, @function
entry:
    mov gs:[0], rbx
    cmp rax, LEAVES
    jae unknown
    # The table's words are relocated.
    lea r11, leaves[rip]
    jmp [r11 + rax*8]

unknown:
    mov rax, -1
    jmp leave

success:
    xor eax, eax
leave:
    mov rbx, gs:[0]
    seamret

# 0: VMREAD of field RDX into RCX, by way of memory.
    .type read_field, @function
read_field:
    vmread gs:[8], rdx
    jbe unknown
    mov rcx, gs:[8]
    jmp success

# 1: VMWRITE of R8 to field RDX.
    .type write_field, @function
write_field:
    vmwrite rdx, r8
    jbe unknown
    jmp success

# 2: writes R8 to physical address RCX, which may have a KeyID, through this LP's first keyhole. RDX: the word before.
    .type keyhole, @function
keyhole:
    call own_keyhole
    mov r9, rcx
    and r9, -4096
    or r9, 0x63                         # present, writable, accessed, dirty
    stac
    mov [rsi], r9
    clac
    invlpg [rdi]
    and ecx, 0xFFF
    mov rdx, [rdi + rcx]
    mov [rdi + rcx], r8
    jmp success

# 3: 64 bytes from physical address RDX to RCX by MOVDIR64B, through two keyholes.
    .type move_64, @function
move_64:
    call own_keyhole
    or rcx, 0x63
    or rdx, 0x63
    stac
    mov [rsi], rcx
    mov [rsi + 8], rdx
    clac
    invlpg [rdi]
    invlpg [rdi + 4096]
    mov rsi, rdi
    add rdi, 4096
    .byte 0x66, 0x0F, 0x38, 0xF8, 0x37  # movdir64b rsi, [rdi]
    jmp success

# 4: a random number in RCX, the MSR in RDX in R8, and the APIC id in R9.
    .type ask_cpu, @function
ask_cpu:
    mov ecx, edx
    rdmsr
    shl rdx, 32
    or rax, rdx
    mov r8, rax
    call apic_id
    mov r9, rax
    rdrand rcx
    jnc unknown
    jmp success

# 5: adds R8 times 1 to the first word of global memory in two steps that another LP can come between. RCX: how often
# somebody came between.
    .type add_slowly, @function
add_slowly:
    mov rdi, fs:[DATA_BASE]
    xor ecx, ecx
again:
    test r8, r8
    jz success
    mov rdx, [rdi]
    lock inc qword ptr [rdi + 8]
    lea r9, [rdx + 1]
    mov rax, rdx
    lock cmpxchg [rdi], r9
    je added
    inc rcx
    jmp again
added:
    dec r8
    jmp again

# 6: a fatal error.
    .type fatal, @function
fatal:
    ud2

# 7: leaves handoff data of version R8 and 16 bytes.
    .type hand_off, @function
hand_off:
    mov rdi, fs:[DATA_BASE]
    shl r8, 16
    or r8, 1
    mov r9, 16
    shl r9, 32
    or r8, r9
    mov [rdi], r8
    jmp success

# 8: enters a TD whose VMCS is at physical address RCX, and comes back by its exit. RDX: the exit reason.
    .type enter_td, @function
enter_td:
    mov gs:[8], rcx
    vmptrld gs:[8]
    mov rax, 0x6C14                     # host RSP
    vmwrite rax, rsp
    mov rax, 0x6C06                     # host FS base
    rdfsbase rdx
    vmwrite rax, rdx
    mov rax, 0x6C08                     # host GS base
    rdgsbase rdx
    vmwrite rax, rdx
    mov rax, 0x6C16                     # host RIP
    lea rdx, left[rip]
    vmwrite rax, rdx
    vmlaunch
    jmp unknown
left:
    mov rax, 0x4402                     # exit reason
    vmread rdx, rax
    jmp success

# RSI: the entry of this LP's first keyhole; RDI: the keyhole.
own_keyhole:
    call apic_id
    mov rdi, rax
    shl rdi, 19                         # 128 pages
    add rdi, fs:[KEYHOLE_BASE]
    mov rsi, rax
    shl rsi, 10                         # 128 words
    add rsi, fs:[KEYHOLE_EDIT_BASE]
    ret

# RAX: the APIC id; RCX, RDX, RBX are kept.
apic_id:
    push rbx
    push rcx
    push rdx
    mov eax, 0x1F
    xor ecx, ecx
    cpuid
    mov eax, edx
    pop rdx
    pop rcx
    pop rbx
    ret

    .section .data.rel.ro, "aw"
    .balign 8
leaves:
    .quad read_field, write_field, keyhole, move_64, ask_cpu, add_slowly, fatal, hand_off, enter_td

    .section .note.GNU-stack, "", @progbits
