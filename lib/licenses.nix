# Licences: the attribute names of nixpkgs, SPDX identifiers, and whether software under them is
# free.
#
# The first table has those that are free and known to SPDX; the second the rest.
lib:
let
  inherit (builtins) all any mapAttrs;

  spdx = spdxId: fullName: {
    licenseType = "simple";
    inherit spdxId fullName;
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

  table = mapAttrs (shortName: license: license // { inherit shortName; }) {
    afl21 = spdx "AFL-2.1" "Academic Free License v2.1";
    afl3 = spdx "AFL-3.0" "Academic Free License v3.0";
    agpl3Only = spdx "AGPL-3.0-only" "GNU Affero General Public License v3.0 only";
    agpl3Plus = spdx "AGPL-3.0-or-later" "GNU Affero General Public License v3.0 or later";
    artistic1 = spdx "Artistic-1.0" "Artistic License 1.0";
    artistic1-cl8 = spdx "Artistic-1.0-cl8" "Artistic License 1.0 w/clause 8";
    artistic2 = spdx "Artistic-2.0" "Artistic License 2.0";
    asl20 = spdx "Apache-2.0" "Apache License 2.0";
    beerware = spdx "Beerware" "Beerware License";
    bitstreamVera = spdx "Bitstream-Vera" "Bitstream Vera Font License";
    blueOak100 = spdx "BlueOak-1.0.0" "Blue Oak Model License 1.0.0";
    boost = spdx "BSL-1.0" "Boost Software License 1.0";
    bsd0 = spdx "0BSD" "BSD Zero Clause License";
    bsd1 = spdx "BSD-1-Clause" "BSD 1-Clause License";
    bsd2 = spdx "BSD-2-Clause" "BSD 2-clause \"Simplified\" License";
    bsd2Patent = spdx "BSD-2-Clause-Patent" "BSD-2-Clause Plus Patent License";
    bsd3 = spdx "BSD-3-Clause" "BSD 3-clause \"New\" or \"Revised\" License";
    bsd3Clear = spdx "BSD-3-Clause-Clear" "BSD 3-Clause Clear License";
    bsdOriginal = spdx "BSD-4-Clause" "BSD 4-clause \"Original\" or \"Old\" License";
    bsdOriginalUC = spdx "BSD-4-Clause-UC" "BSD 4-Clause University of California-Specific";
    bsdSourceCode = spdx "BSD-Source-Code" "BSD Source Code Attribution";
    bzip2 = spdx "bzip2-1.0.6" "bzip2 and libbzip2 License v1.0.6";
    cal10 = spdx "CAL-1.0" "Cryptographic Autonomy License version 1.0";
    cc-by-10 = spdx "CC-BY-1.0" "Creative Commons Attribution 1.0 Generic";
    cc-by-30 = spdx "CC-BY-3.0" "Creative Commons Attribution 3.0";
    cc-by-40 = spdx "CC-BY-4.0" "Creative Commons Attribution 4.0";
    cc-by-sa-30 = spdx "CC-BY-SA-3.0" "Creative Commons Attribution Share Alike 3.0";
    cc-by-sa-40 = spdx "CC-BY-SA-4.0" "Creative Commons Attribution Share Alike 4.0";
    cc0 = spdx "CC0-1.0" "Creative Commons Zero v1.0 Universal";
    cddl = spdx "CDDL-1.0" "Common Development and Distribution License 1.0";
    cecill-b = spdx "CECILL-B" "CeCILL-B Free Software License Agreement";
    cecill-c = spdx "CECILL-C" "CeCILL-C Free Software License Agreement";
    cecill20 = spdx "CECILL-2.0" "CeCILL Free Software License Agreement v2.0";
    cecill21 = spdx "CECILL-2.1" "CeCILL Free Software License Agreement v2.1";
    cpl10 = spdx "CPL-1.0" "Common Public License 1.0";
    curl = spdx "curl" "curl License";
    efl20 = spdx "EFL-2.0" "Eiffel Forum License v2.0";
    epl10 = spdx "EPL-1.0" "Eclipse Public License 1.0";
    epl20 = spdx "EPL-2.0" "Eclipse Public License 2.0";
    eupl11 = spdx "EUPL-1.1" "European Union Public License 1.1";
    eupl12 = spdx "EUPL-1.2" "European Union Public License 1.2";
    fdl11Plus = spdx "GFDL-1.1-or-later" "GNU Free Documentation License v1.1 or later";
    fdl12Only = spdx "GFDL-1.2-only" "GNU Free Documentation License v1.2 only";
    fdl12Plus = spdx "GFDL-1.2-or-later" "GNU Free Documentation License v1.2 or later";
    fdl13Only = spdx "GFDL-1.3-only" "GNU Free Documentation License v1.3 only";
    fdl13Plus = spdx "GFDL-1.3-or-later" "GNU Free Documentation License v1.3 or later";
    fsfap = spdx "FSFAP" "FSF All Permissive License";
    ftl = spdx "FTL" "Freetype Project License";
    gd = spdx "GD" "GD License";
    giftware = spdx "Giftware" "Giftware License";
    gpl1Only = spdx "GPL-1.0-only" "GNU General Public License v1.0 only";
    gpl1Plus = spdx "GPL-1.0-or-later" "GNU General Public License v1.0 or later";
    gpl2Only = spdx "GPL-2.0-only" "GNU General Public License v2.0 only";
    gpl2Plus = spdx "GPL-2.0-or-later" "GNU General Public License v2.0 or later";
    gpl3Only = spdx "GPL-3.0-only" "GNU General Public License v3.0 only";
    gpl3Plus = spdx "GPL-3.0-or-later" "GNU General Public License v3.0 or later";
    hpnd = spdx "HPND" "Historical Permission Notice and Disclaimer";
    hpndSellVariant = spdx "HPND-sell-variant" "Historical Permission Notice and Disclaimer - sell variant";
    icu = spdx "ICU" "ICU";
    ijg = spdx "IJG" "Independent JPEG Group License";
    imagemagick = spdx "ImageMagick" "ImageMagick License";
    info-zip = spdx "Info-ZIP" "Info-ZIP License";
    ipa = spdx "IPA" "IPA Font License";
    isc = spdx "ISC" "Internet Systems Consortium License";
    knuth = spdx "Knuth-CTAN" "Knuth CTAN License";
    lgpl21Only = spdx "LGPL-2.1-only" "GNU Lesser General Public License v2.1 only";
    lgpl21Plus = spdx "LGPL-2.1-or-later" "GNU Lesser General Public License v2.1 or later";
    lgpl2Only = spdx "LGPL-2.0-only" "GNU Library General Public License v2 only";
    lgpl2Plus = spdx "LGPL-2.0-or-later" "GNU Library General Public License v2 or later";
    lgpl3Only = spdx "LGPL-3.0-only" "GNU Lesser General Public License v3.0 only";
    lgpl3Plus = spdx "LGPL-3.0-or-later" "GNU Lesser General Public License v3.0 or later";
    libpng = spdx "Libpng" "libpng License";
    libpng2 = spdx "libpng-2.0" "libpng License v2";
    libtiff = spdx "libtiff" "libtiff License";
    lpl-102 = spdx "LPL-1.02" "Lucent Public License v1.02";
    lppl13c = spdx "LPPL-1.3c" "LaTeX Project Public License v1.3c";
    mit = spdx "MIT" "MIT License";
    mit0 = spdx "MIT-0" "MIT No Attribution";
    mitAdvertising = spdx "MIT-advertising" "Enlightenment License (e16)";
    mpl10 = spdx "MPL-1.0" "Mozilla Public License 1.0";
    mpl11 = spdx "MPL-1.1" "Mozilla Public License 1.1";
    mpl20 = spdx "MPL-2.0" "Mozilla Public License 2.0";
    mulan-psl2 = spdx "MulanPSL-2.0" "Mulan Permissive Software License, Version 2";
    naist-2003 = spdx "NAIST-2003" "Nara Institute of Science and Technology License (2003)";
    ncsa = spdx "NCSA" "University of Illinois/NCSA Open Source License";
    ntp = spdx "NTP" "NTP License";
    ofl = spdx "OFL-1.1" "SIL Open Font License 1.1";
    openldap = spdx "OLDAP-2.8" "Open LDAP Public License v2.8";
    openssl = spdx "OpenSSL" "OpenSSL License";
    osl3 = spdx "OSL-3.0" "Open Software License 3.0";
    php301 = spdx "PHP-3.01" "PHP License v3.01";
    postgresql = spdx "PostgreSQL" "PostgreSQL License";
    psfl = spdx "Python-2.0" "Python Software Foundation License version 2";
    qpl = spdx "QPL-1.0" "Q Public License 1.0";
    ruby = spdx "Ruby" "Ruby License";
    sgi-b-20 = spdx "SGI-B-2.0" "SGI Free Software License B v2.0";
    sleepycat = spdx "Sleepycat" "Sleepycat License";
    smlnj = spdx "SMLNJ" "Standard ML of New Jersey License";
    tcltk = spdx "TCL" "TCL/TK License";
    tost = spdx "TOSL" "Trusster Open Source License";
    unicode-30 = spdx "Unicode-3.0" "Unicode License v3";
    unicode-dfs-2016 = spdx "Unicode-DFS-2016" "Unicode License Agreement - Data Files and Software (2016)";
    unlicense = spdx "Unlicense" "The Unlicense";
    upl = spdx "UPL-1.0" "Universal Permissive License";
    vim = spdx "Vim" "Vim License";
    vsl10 = spdx "VSL-1.0" "Vovida Software License v1.0";
    w3c = spdx "W3C" "W3C Software Notice and License";
    wtfpl = spdx "WTFPL" "Do What The F*ck You Want To Public License";
    wxWindows = spdx "wxWindows" "wxWindows Library Licence, Version 3.1";
    x11 = spdx "X11" "X11 License";
    xfig = spdx "Xfig" "Xfig License";
    zlib = spdx "Zlib" "zlib License";
    zpl20 = spdx "ZPL-2.0" "Zope Public License 2.0";
    zpl21 = spdx "ZPL-2.1" "Zope Public License 2.1";
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
  vague =
    name: full: spdxId:
    other name {
      fullName = full;
      inherit spdxId;
      deprecated = true;
    };

  parenthesised =
    l:
    if l.licenseType == "compound" || l.licenseType == "exception" then "(${toSPDX l})" else toSPDX l;

  /**
    The SPDX expression.
    Example: `licenses.toSPDX (licenses.OR [ licenses.mit licenses.asl20 ])` => `"MIT OR Apache-2.0"`
  */
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

  # Does a predicate hold? Permissive: the best choice at each OR, and all of each AND; else the
  # reverse.
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
  inherit
    toSPDX
    ;

  agpl3 = vague "agpl3" "GNU Affero General Public License v3.0" "AGPL-3.0";
  gpl2 = vague "gpl2" "GNU General Public License v2.0" "GPL-2.0";
  gpl3 = vague "gpl3" "GNU General Public License v3.0" "GPL-3.0";
  lgpl2 = vague "lgpl2" "GNU Library General Public License v2" "LGPL-2.0";
  lgpl21 = vague "lgpl21" "GNU Lesser General Public License v2.1" "LGPL-2.1";
  lgpl3 = vague "lgpl3" "GNU Lesser General Public License v3.0" "LGPL-3.0";

  /**
    One of several licences.
  */
  OR = licenses: {
    licenseType = "compound";
    operator = "OR";
    inherit licenses;
  };

  /**
    All of several licences.
  */
  AND = licenses: {
    licenseType = "compound";
    operator = "AND";
    inherit licenses;
  };

  /**
    A licence with an exception.
  */
  WITH = license: exception: {
    licenseType = "exception";
    operator = "WITH";
    inherit license exception;
  };

  /**
    A licence or a later version.
  */
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

}
