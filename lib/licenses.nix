# Licences: the attribute names of nixpkgs, SPDX identifiers, and whether software under them is free.
#
# A table row is `[ SPDX-identifier full-name ]`; licences that are not free say so in a set.
lib:
let
  inherit (builtins) all any mapAttrs;

  spdx =
    shortName: row:
    let
      spdxId = builtins.elemAt row 0;
    in
    {
      licenseType = "simple";
      inherit shortName spdxId;
      fullName = builtins.elemAt row 1;
      url = "https://spdx.org/licenses/${spdxId}.html";
      free = true;
      redistributable = true;
      deprecated = false;
    };

  other =
    shortName: attrs:
    {
      licenseType = "simple";
      inherit shortName;
      free = true;
      deprecated = false;
      redistributable = attrs.free or true;
    }
    // (if attrs ? spdxId then { url = "https://spdx.org/licenses/${attrs.spdxId}.html"; } else { })
    // attrs;

  table = mapAttrs spdx {
    afl21 = [ "AFL-2.1" "Academic Free License v2.1" ];
    afl3 = [ "AFL-3.0" "Academic Free License v3.0" ];
    agpl3Only = [ "AGPL-3.0-only" "GNU Affero General Public License v3.0 only" ];
    agpl3Plus = [ "AGPL-3.0-or-later" "GNU Affero General Public License v3.0 or later" ];
    artistic1 = [ "Artistic-1.0" "Artistic License 1.0" ];
    artistic1-cl8 = [ "Artistic-1.0-cl8" "Artistic License 1.0 w/clause 8" ];
    artistic2 = [ "Artistic-2.0" "Artistic License 2.0" ];
    asl20 = [ "Apache-2.0" "Apache License 2.0" ];
    beerware = [ "Beerware" "Beerware License" ];
    bitstreamVera = [ "Bitstream-Vera" "Bitstream Vera Font License" ];
    blueOak100 = [ "BlueOak-1.0.0" "Blue Oak Model License 1.0.0" ];
    boost = [ "BSL-1.0" "Boost Software License 1.0" ];
    bsd0 = [ "0BSD" "BSD Zero Clause License" ];
    bsd1 = [ "BSD-1-Clause" "BSD 1-Clause License" ];
    bsd2 = [ "BSD-2-Clause" "BSD 2-clause \"Simplified\" License" ];
    bsd2Patent = [ "BSD-2-Clause-Patent" "BSD-2-Clause Plus Patent License" ];
    bsd3 = [ "BSD-3-Clause" "BSD 3-clause \"New\" or \"Revised\" License" ];
    bsd3Clear = [ "BSD-3-Clause-Clear" "BSD 3-Clause Clear License" ];
    bsdOriginal = [ "BSD-4-Clause" "BSD 4-clause \"Original\" or \"Old\" License" ];
    bsdOriginalUC = [ "BSD-4-Clause-UC" "BSD 4-Clause University of California-Specific" ];
    bzip2 = [ "bzip2-1.0.6" "bzip2 and libbzip2 License v1.0.6" ];
    cc-by-10 = [ "CC-BY-1.0" "Creative Commons Attribution 1.0 Generic" ];
    cc-by-30 = [ "CC-BY-3.0" "Creative Commons Attribution 3.0" ];
    cc-by-40 = [ "CC-BY-4.0" "Creative Commons Attribution 4.0" ];
    cc-by-sa-30 = [ "CC-BY-SA-3.0" "Creative Commons Attribution Share Alike 3.0" ];
    cc-by-sa-40 = [ "CC-BY-SA-4.0" "Creative Commons Attribution Share Alike 4.0" ];
    cc0 = [ "CC0-1.0" "Creative Commons Zero v1.0 Universal" ];
    cddl = [ "CDDL-1.0" "Common Development and Distribution License 1.0" ];
    cpl10 = [ "CPL-1.0" "Common Public License 1.0" ];
    curl = [ "curl" "curl License" ];
    epl10 = [ "EPL-1.0" "Eclipse Public License 1.0" ];
    epl20 = [ "EPL-2.0" "Eclipse Public License 2.0" ];
    eupl11 = [ "EUPL-1.1" "European Union Public License 1.1" ];
    eupl12 = [ "EUPL-1.2" "European Union Public License 1.2" ];
    fdl11Plus = [ "GFDL-1.1-or-later" "GNU Free Documentation License v1.1 or later" ];
    fdl12Plus = [ "GFDL-1.2-or-later" "GNU Free Documentation License v1.2 or later" ];
    fdl13Plus = [ "GFDL-1.3-or-later" "GNU Free Documentation License v1.3 or later" ];
    fsfap = [ "FSFAP" "FSF All Permissive License" ];
    ftl = [ "FTL" "Freetype Project License" ];
    gpl1Only = [ "GPL-1.0-only" "GNU General Public License v1.0 only" ];
    gpl1Plus = [ "GPL-1.0-or-later" "GNU General Public License v1.0 or later" ];
    gpl2Only = [ "GPL-2.0-only" "GNU General Public License v2.0 only" ];
    gpl2Plus = [ "GPL-2.0-or-later" "GNU General Public License v2.0 or later" ];
    gpl3Only = [ "GPL-3.0-only" "GNU General Public License v3.0 only" ];
    gpl3Plus = [ "GPL-3.0-or-later" "GNU General Public License v3.0 or later" ];
    hpnd = [ "HPND" "Historical Permission Notice and Disclaimer" ];
    icu = [ "ICU" "ICU" ];
    ijg = [ "IJG" "Independent JPEG Group License" ];
    isc = [ "ISC" "Internet Systems Consortium License" ];
    lgpl2Only = [ "LGPL-2.0-only" "GNU Library General Public License v2 only" ];
    lgpl2Plus = [ "LGPL-2.0-or-later" "GNU Library General Public License v2 or later" ];
    lgpl21Only = [ "LGPL-2.1-only" "GNU Lesser General Public License v2.1 only" ];
    lgpl21Plus = [ "LGPL-2.1-or-later" "GNU Lesser General Public License v2.1 or later" ];
    lgpl3Only = [ "LGPL-3.0-only" "GNU Lesser General Public License v3.0 only" ];
    lgpl3Plus = [ "LGPL-3.0-or-later" "GNU Lesser General Public License v3.0 or later" ];
    libpng = [ "Libpng" "libpng License" ];
    libpng2 = [ "libpng-2.0" "libpng License v2" ];
    libtiff = [ "libtiff" "libtiff License" ];
    lpl-102 = [ "LPL-1.02" "Lucent Public License v1.02" ];
    mit = [ "MIT" "MIT License" ];
    mit0 = [ "MIT-0" "MIT No Attribution" ];
    mitAdvertising = [ "MIT-advertising" "Enlightenment License (e16)" ];
    mpl10 = [ "MPL-1.0" "Mozilla Public License 1.0" ];
    mpl11 = [ "MPL-1.1" "Mozilla Public License 1.1" ];
    mpl20 = [ "MPL-2.0" "Mozilla Public License 2.0" ];
    ncsa = [ "NCSA" "University of Illinois/NCSA Open Source License" ];
    ofl = [ "OFL-1.1" "SIL Open Font License 1.1" ];
    openldap = [ "OLDAP-2.8" "Open LDAP Public License v2.8" ];
    openssl = [ "OpenSSL" "OpenSSL License" ];
    php301 = [ "PHP-3.01" "PHP License v3.01" ];
    postgresql = [ "PostgreSQL" "PostgreSQL License" ];
    psfl = [ "Python-2.0" "Python Software Foundation License version 2" ];
    qpl = [ "QPL-1.0" "Q Public License 1.0" ];
    ruby = [ "Ruby" "Ruby License" ];
    sleepycat = [ "Sleepycat" "Sleepycat License" ];
    tcltk = [ "TCL" "TCL/TK License" ];
    unicode-30 = [ "Unicode-3.0" "Unicode License v3" ];
    unicode-dfs-2016 = [ "Unicode-DFS-2016" "Unicode License Agreement - Data Files and Software (2016)" ];
    unlicense = [ "Unlicense" "The Unlicense" ];
    upl = [ "UPL-1.0" "Universal Permissive License" ];
    vim = [ "Vim" "Vim License" ];
    w3c = [ "W3C" "W3C Software Notice and License" ];
    wtfpl = [ "WTFPL" "Do What The F*ck You Want To Public License" ];
    wxWindows = [ "wxWindows" "wxWindows Library Licence, Version 3.1" ];
    x11 = [ "X11" "X11 License" ];
    zlib = [ "Zlib" "zlib License" ];
    zpl21 = [ "ZPL-2.1" "Zope Public License 2.1" ];
  };

  more = mapAttrs other {
    bsdProtection = {
      spdxId = "BSD-Protection";
      fullName = "BSD Protection License";
    };
    cc-by-nc-40 = {
      spdxId = "CC-BY-NC-4.0";
      fullName = "Creative Commons Attribution Non Commercial 4.0 International";
      free = false;
    };
    cc-by-nc-sa-40 = {
      spdxId = "CC-BY-NC-SA-4.0";
      fullName = "Creative Commons Attribution Non Commercial Share Alike 4.0";
      free = false;
    };
    cc-by-nd-30 = {
      spdxId = "CC-BY-ND-3.0";
      fullName = "Creative Commons Attribution-No Derivative Works v3.00";
      free = false;
    };
    classpathException20 = {
      spdxId = "Classpath-exception-2.0";
      fullName = "Classpath exception 2.0";
    };
    free.fullName = "Unspecified free software license";
    gfl.fullName = "GUST Font License";
    issl = {
      fullName = "Intel Simplified Software License";
      url = "https://software.intel.com/en-us/license/intel-simplified-software-license";
      free = false;
      redistributable = true;
    };
    llvm-exception = {
      spdxId = "LLVM-exception";
      fullName = "LLVM Exception";
    };
    linuxSyscallNote = {
      spdxId = "Linux-syscall-note";
      fullName = "Linux Syscall Note";
    };
    publicDomain.fullName = "Public Domain";
    unfree = {
      fullName = "Unfree";
      free = false;
    };
    unfreeRedistributable = {
      fullName = "Unfree redistributable";
      free = false;
      redistributable = true;
    };
    unfreeRedistributableFirmware = {
      fullName = "Unfree redistributable firmware";
      free = false;
      redistributable = true;
    };
  };

  # Names without "only" or "or later", which say too little.
  vague = name: full: spdxId: other name {
    fullName = full;
    inherit spdxId;
    deprecated = true;
  };

  parenthesised =
    l: if l.licenseType == "compound" || l.licenseType == "exception" then "(${toSPDX l})" else toSPDX l;

  toSPDX =
    l:
    if l.licenseType == "compound" then
      lib.concatMapStringsSep " ${l.operator} " parenthesised l.licenses
    else if l.licenseType == "exception" then
      "${parenthesised l.license} WITH ${parenthesised l.exception}"
    else if l.licenseType == "plus" then
      "${parenthesised l.license}+"
    else
      l.spdxId or "LicenseRef-nixos-${l.shortName}";

  # Does a predicate hold? Permissive: the best choice at each OR, and all of each AND; else the reverse.
  evaluateProperty =
    predicate: permissive: l:
    let
      go = evaluateProperty predicate permissive;
    in
    if l.licenseType == "compound" then
      (if (l.operator == "OR") == permissive then any else all) go l.licenses
    else if l.licenseType == "exception" then
      go l.license && go l.exception
    else if l.licenseType == "plus" then
      go l.license
    else
      predicate l;
in
table
// more
// {
  agpl3 = vague "agpl3" "GNU Affero General Public License v3.0" "AGPL-3.0";
  gpl2 = vague "gpl2" "GNU General Public License v2.0" "GPL-2.0";
  gpl3 = vague "gpl3" "GNU General Public License v3.0" "GPL-3.0";
  lgpl2 = vague "lgpl2" "GNU Library General Public License v2" "LGPL-2.0";
  lgpl21 = vague "lgpl21" "GNU Lesser General Public License v2.1" "LGPL-2.1";
  lgpl3 = vague "lgpl3" "GNU Lesser General Public License v3.0" "LGPL-3.0";

  /** One of several licences. */
  OR = licenses: {
    licenseType = "compound";
    operator = "OR";
    inherit licenses;
  };

  /** All of several licences. */
  AND = licenses: {
    licenseType = "compound";
    operator = "AND";
    inherit licenses;
  };

  /** A licence with an exception. */
  WITH = license: exception: {
    licenseType = "exception";
    operator = "WITH";
    inherit license exception;
  };

  /** A licence or a later version. */
  PLUS = license: {
    licenseType = "plus";
    operator = "+";
    inherit license;
  };

  inherit evaluateProperty;
  evaluateNamedProperty = name: evaluateProperty (l: l.${name});
  isFree = evaluateProperty (l: l.free) true;
  isRedistributable = evaluateProperty (l: l.redistributable) true;
  containsLicenses = wanted: evaluateProperty (l: builtins.elem l wanted) false;

  /**
    The SPDX expression.
    Example: `licenses.toSPDX (licenses.OR [ licenses.mit licenses.asl20 ])` => `"MIT OR Apache-2.0"`
  */
  inherit toSPDX;
}
