/* python.exe for a CPython without one. */
#include <windows.h>
#include <string.h>

__declspec(dllimport) int Py_Main(int, wchar_t **);

/* libpq 16 and later looks NtFlushBuffersFileEx up before its first stat(). Windows 10 has it, Wine 8 does not: there
   GetProcAddress is replaced by a function that knows it. */
static FARPROC(WINAPI *original)(HMODULE, LPCSTR);

static LONG NTAPI flush(HANDLE file, ULONG flags, PVOID parameters, ULONG length, PVOID status)
{
    return FlushFileBuffers(file) ? 0 : 0xC0000001;
}

static FARPROC WINAPI look_up(HMODULE module, LPCSTR name)
{
    FARPROC found = original(module, name);
    BOOL is_name = (ULONG_PTR)name > 0xffff;
    if (!found && is_name && !strcmp(name, "NtFlushBuffersFileEx"))
        return (FARPROC)(void *)flush;
    return found;
}

static void patch(void)
{
    unsigned char *place = (unsigned char *)GetProcAddress(GetModuleHandleA("kernel32"), "GetProcAddress");
    void *target = (void *)look_up;
    DWORD before;

    original = (void *)GetProcAddress(GetModuleHandleA("kernelbase"), "GetProcAddress");
    if (!original || (unsigned char *)original == place)
        return;
    if (!VirtualProtect(place, 12, PAGE_EXECUTE_READWRITE, &before))
        return;
    /* mov rax, target; jmp rax */
    memcpy(place, "\x48\xB8", 2);
    memcpy(place + 2, &target, 8);
    memcpy(place + 10, "\xFF\xE0", 2);
    VirtualProtect(place, 12, before, &before);
}

int wmain(int argc, wchar_t **argv)
{
    if (GetProcAddress(GetModuleHandleA("ntdll"), "wine_get_version"))
        patch();
    return Py_Main(argc, argv);
}
